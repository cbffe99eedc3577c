"""The feed: what one process sees of each step, from tokens that are kept, or from views that are made anew.

Legend: N views, B batch of one process, S side of a view, T tokens, D width.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from ray.data import DataIterator
from torch import Tensor

from mole.errors import LawError
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.sampling import PADDING, SamplingPlan
from pipeline.tune.training.task import CachedViews
from pipeline.tune.training.token_cache import TokenCache

FORWARD_BATCH = 16
"""Views whose tokens are read at a time where nothing learns from them."""
WorkerRank = tuple[int, int]
"""Which process this is, and of how many."""


class BatchLoader(Protocol):
    """What a training process is fed by."""

    def next_batch(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Give this process's share of the next step: token_BTD and label_B, float32."""

    def fit_head(self, learner: Learner) -> bool:
        """Fit the head of a stage to all that it sees; tell whether that was done."""

    def validation_logits(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this process's validation views: their places, `NOBODY` for none, and their logits."""


class CachedLoader:
    """Reads tokens that are kept.

    Args:
        kept: where they are, and which.
        draws: the plan.
        seat: which process this is.
    """

    def __init__(self, kept: CachedViews, draws: SamplingPlan, seat: WorkerRank) -> None:
        self.views, self.plan, self.rank = kept, draws, seat
        self.cache = TokenCache(Path(kept.folder))

    def next_batch(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Read this process's share of the next step; token_BTD and label_B, float32."""
        each = self.plan.batch_size // self.rank[1]
        begin = learner.progress.step * self.plan.batch_size + self.rank[0] * each
        chosen = slice(begin, begin + each)
        place_B = self.plan.place_K[chosen]
        number_B = (place_B * self.views.variants + self.plan.variant_K[chosen]) * self.views.views + self.plan.view_K[
            chosen
        ]
        label_B = torch.tensor([float(self.views.labels[place]) for place in place_B])
        return self.cache.tokens([self.views.training[number] for number in number_B]), label_B

    def fit_head(self, learner: Learner) -> bool:
        """Fit the head to every view of every sample that the stage sees, each process reading its share.

        Where experts have moved, a view costs a forward pass, and the head of a stage alone is fitted to one a sample.
        """
        each = self.views.variants * self.views.views
        fresh = not learner.has_trained_experts
        weight_NV = np.repeat(np.array(self.views.weights[learner.progress.stage])[:, None], each, axis=1)
        if not fresh and learner.stage.head is not None:
            weight_NV[:, 1:] = 0
        weight_N = weight_NV.reshape(-1)
        label_N = np.repeat(np.array(self.views.labels, np.float32), each)
        mine = _shard(np.flatnonzero(weight_N), self.rank)
        used_N = mine != PADDING
        names = [self.views.training[number] for number in mine]  # the last one where nobody is: it weighs nothing
        features = [
            self.cache.features(part) if fresh else learner.features(self.cache.tokens(part)).cpu()
            for part in _chunks(names, 64 * FORWARD_BATCH if fresh else FORWARD_BATCH)
        ]
        weight_M = torch.from_numpy(np.where(used_N, weight_N[mine], 0.0)).float()
        learner.fit_head(torch.cat(features), torch.from_numpy(label_N[mine]), weight_M)
        return True

    def validation_logits(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this process's share of the validation views."""
        mine = _shard(np.arange(len(self.views.validation)), self.rank)
        logit_N = cached_logits(
            self.cache, [self.views.validation[number] for number in mine], learner, self.views.has_tokens
        )
        return np.where(mine == PADDING, PADDING, mine // self.views.views), logit_N


def cached_logits(found: TokenCache, keys: Sequence[str], learner: Learner, has_tokens: bool) -> NDArray[np.float32]:
    """Score views that are kept; float32 (N,), in their order."""
    if not has_tokens:
        with torch.no_grad():
            read = [found.features(part).to(learner.device) for part in _chunks(keys, 64 * FORWARD_BATCH)]
            parts = [learner.detector.head(feature_BF).squeeze(-1).cpu() for feature_BF in read]
        return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
    scored = [learner.logits(found.tokens(part)) for part in _chunks(keys, FORWARD_BATCH)]
    return np.concatenate(scored) if scored else np.empty(0, np.float32)


class StreamingLoader:
    """Takes views as Ray Data makes them, and runs the trunk over them.

    Args:
        training: of `views.remaining_views`.
        validation: of `views.plain_views`; its tokens stay in memory.
        each: views of this process's share of a step.
        learner: whose trunk it is.
    """

    def __init__(self, training: DataIterator, validation: DataIterator, each: int, learner: Learner) -> None:
        self.each = each
        self.batches = (
            iter(training.iter_torch_batches(batch_size=each, prefetch_batches=2)) if not learner.done else iter(())
        )
        places: list[Tensor] = []
        tokens: list[Tensor] = []
        for batch in validation.iter_torch_batches(batch_size=8):
            places.append(batch["place"])
            tokens.append(learner.tokens(batch["pixels"]))
        self.place_N, self.token_NTD = torch.cat(places).numpy(), torch.cat(tokens)

    def next_batch(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Take this process's share of the next step; token_BTD and label_B, float32.

        Raises:
            LawError: a share is not that of the step that comes next.
        """
        wanted = learner.progress.step
        for batch in self.batches:
            steps = set(batch["step"].tolist())
            if max(steps) < wanted:
                continue  # seen before the checkpoint was taken, or left out by a stage that ended early
            if steps != {wanted} or len(batch["step"]) != self.each:
                raise LawError(f"step {wanted} was handed {len(batch['step'])} views of steps {steps}")
            return learner.tokens(batch["pixels"]), batch["label"]
        raise LawError(f"step {wanted} was handed no views: they ended before it")

    def fit_head(self, learner: Learner) -> bool:
        """Leave the head to the steps that only look."""
        return False

    def validation_logits(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this process's validation views."""
        return self.place_N, learner.logits(self.token_NTD)


def _shard(number_N: NDArray[np.int64], seat: WorkerRank) -> NDArray[np.int64]:
    """Take every so manieth number, filled up with `NOBODY` so that all processes have as many."""
    each = -(-len(number_N) // seat[1])
    padded = np.full(each * seat[1], PADDING, np.int64)
    padded[: len(number_N)] = number_N
    return padded[seat[0] :: seat[1]]


def _chunks(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut a list into pieces."""
    return (keys[begin : begin + size] for begin in range(0, len(keys), size))
