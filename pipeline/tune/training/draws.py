"""Draws: which sample each step sees and by which seed, laid down before training, whoever works on it.

Shapes: N samples, K draws of the whole training, B draws a step over all workers, S side of a view.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mole.errors import SettingsError
from mole.preprocess import Preprocess

Batch = dict[str, NDArray[Any]]


class Delivers(Protocol):
    """What `pipeline.tune.data.align.Aligner` is, named here without torch."""

    def apply(self, pixels_3HW: Any, seed: int) -> Any:
        """Deliver a picture; uint8 (3, H, W) in and out."""


NOBODY = -1
"""The place of a row that only fills up a block."""


@dataclass(frozen=True)
class Made:
    """What views are made of.

    Attributes:
        samples: a table of samples.
        spec: how a view is made.
        aligner: gives every sample the form of a photograph first; None leaves it as it is.
    """

    samples: pa.Table
    spec: Preprocess
    aligner: Delivers | None = None


@dataclass(frozen=True)
class Draws:
    """What a training sees, in order.

    Attributes:
        place_K: int64, the sample of each draw; B after B, a step each.
        round_K: int64, which of a sample's deliveries; with the sample's group it seeds the delivery.
        view_K: int64, which of the views that the detector judges by.
        batch_size: B.
    """

    place_K: NDArray[np.int64]
    round_K: NDArray[np.int64]
    view_K: NDArray[np.int64]
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return len(self.place_K) // self.batch_size


def lay_down(kinds: Sequence[tuple[int, str]], *, epochs: int, steps: int, batch_size: int, seed: int) -> Draws:
    """Draw the samples of every step, each epoch balanced over classes and, within a class, over sources.

    Args:
        kinds: label and source of each sample that may be seen.
        epochs: how many.
        steps: of one epoch.
        batch_size: B.
        seed: decides every draw.

    Raises:
        SettingsError: one of the classes is empty.
    """
    weight_N = balance(kinds)
    drawn = [balanced(weight_N, steps * batch_size, np.random.default_rng((seed, epoch))) for epoch in range(epochs)]
    rounds = np.repeat(np.arange(epochs), steps * batch_size)
    return Draws(np.concatenate([np.empty(0, np.int64), *drawn]), rounds, np.zeros_like(rounds), batch_size)


def balance(kinds: Sequence[tuple[int, str]]) -> NDArray[np.float64]:
    """Weigh samples so that both classes count alike, and within a class every source.

    Args:
        kinds: label and source of each sample.

    Returns:
        weight_N, float64, sum 1.

    Raises:
        SettingsError: one of the classes is empty.
    """
    counts = Counter(kinds)
    sources = Counter(label for label, _ in counts)
    if len(sources) != 2:
        only = sorted(source for _, source in counts)
        raise SettingsError(f"training needs both classes, got only {only}; add samples of the other class")
    return np.array([1 / (2 * sources[kind[0]] * counts[kind]) for kind in kinds])


def balanced(weight_N: NDArray[np.float64], draws: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Draw places, each about as often as its weight says and never by luck alone.

    Args:
        weight_N: float64, sum 1.
        draws: how many.
        chance: of the draws.

    Returns:
        int64 (draws,), shuffled. (Systematic sampling: one random start, even strides.)
    """
    order_N = chance.permutation(len(weight_N))
    edge_N = np.cumsum(weight_N[order_N])
    marks = (np.arange(draws) + chance.random()) / max(1, draws) * edge_N[-1]
    found = order_N[np.minimum(np.searchsorted(edge_N, marks, side="right"), len(order_N) - 1)]
    return chance.permutation(found)
