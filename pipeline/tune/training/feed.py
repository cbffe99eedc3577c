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

from mole.errors import CompletenessError
from pipeline.tune.training.draws import NOBODY, Draws
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.task import Kept
from pipeline.tune.training.tokens import Tokens

BATCH = 16
"""Views whose tokens are read at a time where nothing learns from them."""
Seat = tuple[int, int]
"""Which process this is, and of how many."""


class Feed(Protocol):
    """What a training process is fed by."""

    def step(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Give this process's share of the next step: token_BTD and label_B, float32."""

    def fit(self, learner: Learner) -> bool:
        """Fit the head of a stage to all that it sees; tell whether that was done."""

    def watched(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this process's validation views: their places, `NOBODY` for none, and their logits."""


class KeptFeed:
    """Reads tokens that are kept.

    Args:
        kept: where they are, and which.
        draws: the plan.
        seat: which process this is.
    """

    def __init__(self, kept: Kept, draws: Draws, seat: Seat) -> None:
        self.kept, self.draws, self.seat = kept, draws, seat
        self.found = Tokens(Path(kept.folder))

    def step(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Read this process's share of the next step; token_BTD and label_B, float32."""
        each = self.draws.batch_size // self.seat[1]
        begin = learner.progress.step * self.draws.batch_size + self.seat[0] * each
        chosen = slice(begin, begin + each)
        place_B = self.draws.place_K[chosen]
        number_B = (place_B * self.kept.rounds + self.draws.round_K[chosen]) * self.kept.views + self.draws.view_K[
            chosen
        ]
        label_B = torch.tensor([float(self.kept.labels[place]) for place in place_B])
        return self.found.tokens([self.kept.training[number] for number in number_B]), label_B

    def fit(self, learner: Learner) -> bool:
        """Fit the head to every view of every sample that the stage sees, each process reading its share.

        Where experts have moved, a view costs a forward pass, and the head of a stage alone is fitted to one a sample.
        """
        each = self.kept.rounds * self.kept.views
        fresh = not learner.moved
        weight_NV = np.repeat(np.array(self.kept.weights[learner.progress.stage])[:, None], each, axis=1)
        if not fresh and learner.stage.head is not None:
            weight_NV[:, 1:] = 0
        weight_N = weight_NV.reshape(-1)
        label_N = np.repeat(np.array(self.kept.labels, np.float32), each)
        mine = _share(np.flatnonzero(weight_N), self.seat)
        used_N = mine != NOBODY
        names = [self.kept.training[number] for number in mine]  # the last one where nobody is: it weighs nothing
        features = [
            self.found.features(part) if fresh else learner.features(self.found.tokens(part)).cpu()
            for part in _cut(names, 64 * BATCH if fresh else BATCH)
        ]
        weight_M = torch.from_numpy(np.where(used_N, weight_N[mine], 0.0)).float()
        learner.fit(torch.cat(features), torch.from_numpy(label_N[mine]), weight_M)
        return True

    def watched(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this process's share of the validation views."""
        mine = _share(np.arange(len(self.kept.validation)), self.seat)
        logit_N = kept_logits(
            self.found, [self.kept.validation[number] for number in mine], learner, self.kept.has_tokens
        )
        return np.where(mine == NOBODY, NOBODY, mine // self.kept.views), logit_N


def kept_logits(found: Tokens, keys: Sequence[str], learner: Learner, has_tokens: bool) -> NDArray[np.float32]:
    """Score views that are kept; float32 (N,), in their order."""
    if not has_tokens:
        with torch.no_grad():
            read = [found.features(part).to(learner.device) for part in _cut(keys, 64 * BATCH)]
            parts = [learner.detector.head(feature_BF).squeeze(-1).cpu() for feature_BF in read]
        return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
    scored = [learner.logits(found.tokens(part)) for part in _cut(keys, BATCH)]
    return np.concatenate(scored) if scored else np.empty(0, np.float32)


class MadeFeed:
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

    def step(self, learner: Learner) -> tuple[Tensor, Tensor]:
        """Take this process's share of the next step; token_BTD and label_B, float32.

        Raises:
            CompletenessError: a share is not that of the step that comes next.
        """
        wanted = learner.progress.step
        for batch in self.batches:
            steps = set(batch["step"].tolist())
            if max(steps) < wanted:
                continue  # seen before the checkpoint was taken, or left out by a stage that ended early
            if steps != {wanted} or len(batch["step"]) != self.each:
                raise CompletenessError(f"step {wanted} was handed {len(batch['step'])} views of steps {steps}")
            return learner.tokens(batch["pixels"]), batch["label"]
        raise CompletenessError(f"step {wanted} was handed no views: they ended before it")

    def fit(self, learner: Learner) -> bool:
        """Leave the head to the steps that only look."""
        return False

    def watched(self, learner: Learner) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Score this process's validation views."""
        return self.place_N, learner.logits(self.token_NTD)


def _share(number_N: NDArray[np.int64], seat: Seat) -> NDArray[np.int64]:
    """Take every so manieth number, filled up with `NOBODY` so that all processes have as many."""
    each = -(-len(number_N) // seat[1])
    padded = np.full(each * seat[1], NOBODY, np.int64)
    padded[: len(number_N)] = number_N
    return padded[seat[0] :: seat[1]]


def _cut(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut a list into pieces."""
    return (keys[begin : begin + size] for begin in range(0, len(keys), size))
