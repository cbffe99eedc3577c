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
from mole.views.preprocess import Preprocess

Batch = dict[str, NDArray[Any]]


class PictureAligner(Protocol):
    """What `pipeline.tune.data.align.Aligner` is, named here without torch."""

    def apply(self, pixels_3HW: Any, seed: int) -> Any:
        """Deliver a picture; uint8 (3, H, W) in and out."""


MIN_IMAGES = 10
"""Images of a kind of content that each class must have; of fewer, each would be seen too often."""
OTHER_CONTENT = ""
"""The cell of what only one of the classes shows, or what nothing tells of."""

PADDING = -1
"""The place of a row that only fills up a block."""


@dataclass(frozen=True)
class DatasetSpec:
    """What views are made of.

    Attributes:
        samples: a table of samples.
        spec: how a view is made.
        aligner: gives every sample the form of a photograph first; None leaves it as it is.
    """

    samples: pa.Table
    spec: Preprocess
    aligner: PictureAligner | None = None


@dataclass(frozen=True)
class SamplingPlan:
    """What a training sees, in order.

    Attributes:
        place_K: int64, the sample of each draw; B after B, a step each.
        round_K: int64, which of a sample's deliveries; with the sample's group it seeds the delivery.
        view_K: int64, which of the views that the detector judges by.
        batch_size: B.
    """

    place_K: NDArray[np.int64]
    variant_K: NDArray[np.int64]
    view_K: NDArray[np.int64]
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return len(self.place_K) // self.batch_size


def sample_epochs(
    kinds: Sequence[tuple[int, str]],
    *,
    contents: Sequence[str] = (),
    epochs: int,
    steps: int,
    batch_size: int,
    seed: int,
) -> SamplingPlan:
    """Draw the samples of every step, each epoch balanced as `balance` says.

    Args:
        kinds: label and source of each sample that may be seen.
        contents: what is in each; none where nothing tells.
        epochs: how many.
        steps: of one epoch.
        batch_size: B.
        seed: decides every draw.

    Raises:
        SettingsError: one of the classes is empty.
    """
    weight_N = balanced_weights(kinds, contents)
    drawn = [
        systematic_sample(weight_N, steps * batch_size, np.random.default_rng((seed, epoch))) for epoch in range(epochs)
    ]
    rounds = np.repeat(np.arange(epochs), steps * batch_size)
    return SamplingPlan(np.concatenate([np.empty(0, np.int64), *drawn]), rounds, np.zeros_like(rounds), batch_size)


def balanced_weights(kinds: Sequence[tuple[int, str]], contents: Sequence[str] = ()) -> NDArray[np.float64]:
    """Weigh samples so that neither their number nor, as far as can be, their content tells the label.

    Both classes weigh a half. A kind of content of which each class has some images (`ENOUGH`) is a cell of either, and
    all else that a class has is one more cell of it. The cells of a class weigh alike, in a cell every source, and in
    a source every image. Without contents a class is one cell, in which every source weighs the same.

    Args:
        kinds: label and source of each sample.
        contents: what is in each, empty where unknown; none at all where nothing tells.

    Returns:
        weight_N, float64, sum 1.

    Raises:
        SettingsError: one of the classes is empty.
    """
    if len({label for label, _ in kinds}) != 2:
        only = sorted({source for _, source in kinds})
        raise SettingsError(f"training needs both classes, got only {only}; add samples of the other class")
    told = list(contents) or [""] * len(kinds)
    held = Counter((label, content) for (label, _), content in zip(kinds, told, strict=True))
    shared = {content for content in told if content and min(held[0, content], held[1, content]) >= MIN_IMAGES}
    cells = [
        (label, content if content in shared else OTHER_CONTENT, source)
        for (label, source), content in zip(kinds, told, strict=True)
    ]
    images = Counter(cells)
    sources = Counter((label, cell) for label, cell, _ in images)
    of_class = Counter(label for label, _ in sources)
    return np.array([1 / (2 * of_class[cell[0]] * sources[cell[:2]] * images[cell]) for cell in cells])


def systematic_sample(weight_N: NDArray[np.float64], draws: int, chance: np.random.Generator) -> NDArray[np.int64]:
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
