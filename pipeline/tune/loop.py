"""The loop: fit the head and the experts on cached trunk tokens, and score what was held out.

Legend: N views, T tokens, D width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.detector import Detector
from mole.training import Rates, StepReport, optimizer_for, training_step
from pipeline.tune.dataset import BATCH, Views, balanced_order

WARM_UP = 0.1  # share of the steps over which the rates rise; they fall to zero along a cosine after it


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    epochs: int
    batch_size: int
    reconstructed: float
    rates: Rates
    seed: int


def fit(detector: Detector, views: Views, token_NTD: Tensor, keep_N: Tensor, plan: Plan) -> Iterator[StepReport]:
    """Train, step by step.

    Args:
        detector: its head and experts move.
        views: labels and sources.
        token_NTD: the trunk's tokens of the same views.
        keep_N: bool, the views that may be seen.
        plan: how long and how fast.

    Yields:
        What each step measured.
    """
    optimizer = optimizer_for(detector, plan.rates)
    highest = [float(group["lr"]) for group in optimizer.param_groups]
    order = [
        place
        for epoch in range(plan.epochs)
        for place in balanced_order(views, keep_N=keep_N, reconstructed=plan.reconstructed, seed=plan.seed + epoch)
    ]
    steps = math.ceil(len(order) / plan.batch_size)
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = rate * schedule(step, steps)
        batch = torch.tensor(order[step * plan.batch_size : (step + 1) * plan.batch_size])
        yield training_step(detector, optimizer, token_NTD[batch], views.label_N[batch])


def schedule(step: int, steps: int) -> float:
    """Tell the share of the highest rate at a step: a straight rise, then a cosine to zero."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def score(detector: Detector, token_NTD: Tensor) -> NDArray[np.float32]:
    """Run the tail over cached tokens; logit_N float32."""
    with torch.no_grad():
        logits: Sequence[Tensor] = [detector.tail(batch).logit_B for batch in token_NTD.split(BATCH)]
    return torch.cat(list(logits)).numpy()
