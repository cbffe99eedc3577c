"""The loop: fit the head, then head and experts together, on cached trunk tokens; and score what was held out.

Legend: N views.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.attention import prepare_for_training
from mole.detector import Detector
from mole.training import Rates, StepReport, fit_head, optimizer_for, training_step
from pipeline.tune.dataset import BATCH, Cached, balanced_order, balancing_weights

WARM_UP = 0.1  # share of the steps over which the rates rise; they fall to zero along a cosine after it


@dataclass(frozen=True)
class Plan:
    """How long, how fast, and how firmly."""

    steps: int
    batch_size: int
    penalty: float
    rates: Rates
    seed: int


def fit(detector: Detector, cached: Cached, keep_N: Tensor, plan: Plan) -> Iterator[StepReport]:
    """Fit the head to the plain tower's features, then train head and experts step by step.

    Args:
        detector: fresh; its head and experts move.
        cached: what it learns from.
        keep_N: bool (N,), the views that may be seen.
        plan: how long, how fast, and how firmly.

    Yields:
        What each step measured.
    """
    weight_N = balancing_weights(cached, keep_N)
    fit_head(detector, cached.feature_NF, cached.label_N, weight_N, plan.penalty)
    prepare_for_training(detector)
    optimizer = optimizer_for(detector, plan.rates)
    highest = [float(group["lr"]) for group in optimizer.param_groups]
    order = balanced_order(weight_N, plan.steps * plan.batch_size, plan.seed)
    for step in range(plan.steps):
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = rate * schedule(step, plan.steps)
        batch = torch.tensor(order[step * plan.batch_size : (step + 1) * plan.batch_size])
        yield training_step(detector, optimizer, cached.token_NTD[batch], cached.label_N[batch])


def schedule(step: int, steps: int) -> float:
    """Tell the share of the highest rate at a step: a straight rise, then a cosine to zero."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def score(detector: Detector, token_NTD: Tensor) -> NDArray[np.float32]:
    """Run the tail over cached tokens; logit_N float32."""
    with torch.no_grad():
        logits = [detector.tail(batch_BTD).logit_B for batch_BTD in torch.split(token_NTD, BATCH)]
    return torch.cat(logits).numpy()
