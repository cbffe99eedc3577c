"""Batch loaders: a worker's share of each step, read from the token cache or streamed from Ray Data.

Legend: N views, B batch of one process, S side of a view, T tokens, D width.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from ray.data import DataIterator
from torch import Tensor

from mole.errors import CompletenessError
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.sampling import PADDING, SamplingPlan
from pipeline.tune.training.task import CachedViews
from pipeline.tune.training.token_cache import TokenCache

FORWARD_BATCH = 16
"""Views per forward pass where no gradient is needed."""


class WorkerRank(NamedTuple):
    """A worker process among all of a training.

    Attributes:
        rank: from 0.
        world_size: number of workers.
    """

    rank: int = 0
    world_size: int = 1


class BatchLoader(Protocol):
    """Where a worker gets its batches from."""

    def next_batch(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Return this worker's share of the next step: token_BTD and label_B, float32."""

    def fit_head(self, learner: Learner) -> bool:
        """Fit the head to everything that the stage includes; return whether that was done."""

    def validation_logits(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this worker's validation views: their sample indices, `PADDING` for padding, and logits; shape (V,)."""


class CachedLoader:
    """Loads batches from the token cache.

    Args:
        views: the cached views of the training.
        plan: sampling plan.
        rank: this worker.
    """

    def __init__(self, views: CachedViews, plan: SamplingPlan, rank: WorkerRank) -> None:
        self.views, self.plan, self.rank = views, plan, rank
        self.cache = TokenCache(Path(views.folder))

    def next_batch(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Read this worker's share of the next step; token_BTD and label_B, float32."""
        plan, views = self.plan, self.views
        share = plan.batch_size // self.rank.world_size
        start = learner.progress.step * plan.batch_size + self.rank.rank * share
        chosen = slice(start, start + share)
        sample_B = plan.sample_K[chosen]
        number_B = (sample_B * views.variants + plan.variant_K[chosen]) * views.views + plan.view_K[chosen]
        label_B = torch.tensor([float(views.labels[index]) for index in sample_B])
        return self.cache.tokens([views.training[number] for number in number_B]), label_B

    def fit_head(self, learner: Learner) -> bool:
        """Fit the head to every view of every sample that the stage includes; each worker reads its share.

        Once experts have been trained, features need a forward pass per view; the temporary head of a stage is then
        fitted to one view per sample. The detector's own head is always fitted to every view.
        """
        each = self.views.variants * self.views.views
        untrained = not learner.has_trained_experts
        weight_NV = np.repeat(np.array(self.views.weights[learner.progress.stage])[:, None], each, axis=1)
        if not untrained and learner.stage.head is not None:
            weight_NV[:, 1:] = 0
        weight_N = weight_NV.reshape(-1)
        label_N = np.repeat(np.array(self.views.labels, np.float32), each)
        own = _shard(np.flatnonzero(weight_N), self.rank)
        used_N = own != PADDING
        keys = [self.views.training[number] for number in own]  # padding reads the last view, with a weight of 0
        features = [
            self.cache.features(part) if untrained else learner.features(self.cache.tokens(part)).cpu()
            for part in _chunks(keys, 64 * FORWARD_BATCH if untrained else FORWARD_BATCH)
        ]
        weight_M = torch.from_numpy(np.where(used_N, weight_N[own], 0.0)).float()
        learner.fit_head(torch.cat(features), torch.from_numpy(label_N[own]), weight_M)
        return True

    def validation_logits(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this worker's share of the validation views; sample indices and logits, shape (V,) each."""
        own = _shard(np.arange(len(self.views.validation)), self.rank)
        keys = [self.views.validation[number] for number in own]
        logit_N = cached_logits(self.cache, keys, learner, self.views.has_tokens)
        return np.where(own == PADDING, PADDING, own // self.views.views), logit_N


def cached_logits(cache: TokenCache, keys: Sequence[str], learner: Learner, has_tokens: bool) -> NDArray[np.float32]:
    """Score cached views; float32 (N,), in the order of the keys."""
    if not has_tokens:
        with torch.no_grad():
            read = [cache.features(part).to(learner.device) for part in _chunks(keys, 64 * FORWARD_BATCH)]
            parts = [learner.detector.head(feature_BF).squeeze(-1).cpu() for feature_BF in read]
        return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
    scored = [learner.logits(cache.tokens(part)) for part in _chunks(keys, FORWARD_BATCH)]
    return np.concatenate(scored) if scored else np.empty(0, np.float32)


class StreamingLoader:
    """Loads views from Ray Data and runs the frozen trunk over them.

    Args:
        training: iterator over `dataset.training_dataset`.
        validation: iterator over `dataset.validation_dataset`; its tokens stay in memory.
        share: views per step of this worker.
        learner: its trunk is used.
    """

    def __init__(self, training: DataIterator, validation: DataIterator, share: int, learner: Learner) -> None:
        self.share = share
        self.batches = (
            iter(training.iter_torch_batches(batch_size=share, prefetch_batches=2)) if not learner.done else iter(())
        )
        indices: list[Tensor] = []
        tokens: list[Tensor] = []
        for batch in validation.iter_torch_batches(batch_size=8):
            indices.append(batch["sample_index"])
            tokens.append(learner.tokens(batch["pixels"]))
        self.index_N, self.token_NTD = torch.cat(indices).numpy(), torch.cat(tokens)

    def next_batch(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Take this worker's share of the next step; token_BTD and label_B, float32.

        Raises:
            CompletenessError: the views received are not those of the next step.
        """
        wanted = learner.progress.step
        for batch in self.batches:
            steps = set(batch["step"].tolist())
            if max(steps) < wanted:
                continue  # taken before the checkpoint was written, or skipped when a stage stopped early
            if steps != {wanted} or len(batch["step"]) != self.share:
                raise CompletenessError(f"step {wanted} received {len(batch['step'])} views of steps {steps}")
            return learner.tokens(batch["pixels"]), batch["label"]
        raise CompletenessError(f"step {wanted} received no views: the dataset ended before it")

    def fit_head(self, learner: Learner) -> bool:
        """Do nothing: the head is fitted to the views of the warm-up steps."""
        return False

    def validation_logits(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this worker's validation views; sample indices and logits, shape (V,) each."""
        return self.index_N, learner.logits(self.token_NTD)


def _shard(number_N: NDArray[np.int64], rank: WorkerRank) -> NDArray[np.int64]:
    """Take every n-th number for one of n workers, padded with `PADDING` so that all have the same shape."""
    each = -(-len(number_N) // rank.world_size)
    padded = np.full(each * rank.world_size, PADDING, np.int64)
    padded[: len(number_N)] = number_N
    return padded[rank.rank :: rank.world_size]


def _chunks(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Split a list into chunks."""
    return (keys[start : start + size] for start in range(0, len(keys), size))
