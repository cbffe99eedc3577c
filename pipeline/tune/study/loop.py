"""The loop: fit the head, then head and experts together, on cached trunk tokens; and score what was held out.

A step sees whole pairs, so that a photograph and its reconstruction pull against each other in one gradient.

Legend: N views, B batch.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.attention import prepare_for_training
from mole.detector import MoLE
from mole.errors import SettingsError
from mole.training import Rates, StepReport, fit_head, optimizer_for, schedule, training_step
from pipeline.tune.data.samples import Sample
from pipeline.tune.study.dataset import BATCH, Cached
from pipeline.tune.training.draws import balanced


@dataclass(frozen=True)
class Plan:
    """How long, how fast, and how firmly.

    Attributes:
        steps: of head and experts together.
        alone: generated views a step that belong to no pair; as many real ones come with them.
        pairs: photographs a step that come with their reconstruction.
        patches: patch tokens that a step keeps, drawn anew each step; what is scored keeps them all.
        penalty: of the head, fitted first.
        rates: the highest learning rates.
        seed: of the draws.
    """

    steps: int
    alone: int
    pairs: int
    patches: int
    penalty: float
    rates: Rates
    seed: int


def fit(detector: MoLE, cached: Cached, keep_N: Tensor, plan: Plan) -> Iterator[StepReport]:
    """Fit the head to the plain tower's features, then train head and experts step by step.

    Args:
        detector: fresh; its head and experts move.
        cached: what it learns from.
        keep_N: bool (N,), the views that may be seen.
        plan: how long, how fast, and how firmly.

    Yields:
        What each step measured.

    Raises:
        SettingsError: one of the classes is empty.
    """
    kind_N = [kind(sample) if keep else "" for sample, keep in zip(cached.samples, keep_N.tolist(), strict=True)]
    order = _order(cached.samples, kind_N, plan)
    weight_N = _weights(cached.samples, kind_N, plan)
    fit_head(detector, cached.feature_NF, cached.label_N, weight_N, plan.penalty)
    prepare_for_training(detector)
    optimizer = optimizer_for(detector, plan.rates)
    highest = [float(group["lr"]) for group in optimizer.param_groups]
    draw = random.Random(plan.seed)
    for step, places in enumerate(order):
        kept = _kept(cached.token_NTD.shape[1], plan.patches, draw)
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = rate * schedule(step, plan.steps)
        batch_B = torch.from_numpy(places)
        yield training_step(detector, optimizer, cached.token_NTD[batch_B][:, kept], cached.label_N[batch_B])


def _kept(tokens: int, patches: int, draw: random.Random) -> list[int]:
    """Draw the tokens of a step: the class token, and patches of which fewer cost less.

    Source: PatchDropout, Liu et al. 2022, arXiv:2208.07220, here above the frozen trunk alone.
    """
    return [0, *sorted(draw.sample(range(1, tokens), min(patches, tokens - 1)))]


def kind(sample: Sample) -> str:
    """Tell photographs, generated images and reconstructions of photographs apart."""
    return "photograph" if sample.label == 0 else "reconstruction" if sample.group else "generated"


def score(detector: MoLE, token_NTD: Tensor, crops: int = 1) -> NDArray[np.float32]:
    """Run the tail over cached tokens; float32, one logit for every so many crops, the mean of theirs."""
    with torch.no_grad():
        logits = [detector.tail(batch_BTD).logit_B for batch_BTD in torch.split(token_NTD, BATCH)]
    logit_N: NDArray[np.float32] = torch.cat(logits).reshape(-1, crops).mean(dim=1).numpy()
    return logit_N


def score_features(detector: MoLE, feature_NF: Tensor, crops: int = 1) -> NDArray[np.float32]:
    """Score the plain tower's features, which are a detector's own until its experts have moved; as `score`."""
    with torch.no_grad():
        logit_N: NDArray[np.float32] = detector.head(feature_NF).reshape(-1, crops).mean(dim=1).numpy()
    return logit_N


def _weights(samples: Sequence[Sample], kind_N: Sequence[str], plan: Plan) -> Tensor:
    """Weigh views as a step draws them, and within a kind every source alike; float32 (N,)."""
    share = {"photograph": plan.alone + plan.pairs, "generated": plan.alone, "reconstruction": plan.pairs, "": 0}
    return torch.from_numpy(sum(share[name] * _even(samples, kind_N, name) for name in share)).float()


def _even(samples: Sequence[Sample], kind_N: Sequence[str], wanted: str) -> NDArray[np.float64]:
    """Weigh the views of a kind so that every source counts alike; float64 (N,), sum 1, or all 0."""
    counts = Counter(sample.source for sample, name in zip(samples, kind_N, strict=True) if name == wanted)
    return np.array(
        [
            1 / (len(counts) * counts[sample.source]) if name == wanted else 0.0
            for sample, name in zip(samples, kind_N, strict=True)
        ]
    )


def _order(samples: Sequence[Sample], kind_N: Sequence[str], plan: Plan) -> NDArray[np.int64]:
    """Lay down what each step sees: pairs first, then generated views and real ones; int64 (steps, B).

    Raises:
        SettingsError: one of the classes is empty.
    """
    chance = np.random.default_rng(plan.seed)
    kinds = [("generated", plan.alone), ("photograph", plan.alone), ("reconstruction", plan.pairs)]
    weights = {name: _even(samples, kind_N, name) for name, count in kinds if count}
    empty = [name for name, weight_N in weights.items() if not weight_N.any()]
    if empty:
        raise SettingsError(f"training needs views of every kind that a step sees, got none of {empty}")
    drawn = {
        name: balanced(weights[name], plan.steps * count, chance).reshape(plan.steps, count)
        for name, count in kinds
        if count
    }
    if plan.pairs:
        drawn["partner"] = drawn["reconstruction"] - 1  # a photograph lies right before its reconstruction
    return np.concatenate(list(drawn.values()), axis=1)
