"""Sampling plan: which sample every training step uses and with which augmentation seed, fixed before training starts.

Shapes: N samples, K draws of the whole training, B draws per step over all workers, S side of a view.
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
    """The interface of `pipeline.tune.data.align.Aligner`, declared here so that torch need not be imported."""

    def apply(self, pixels_3HW: Any, seed: int) -> Any:
        """Give a picture the format, quality and size of a real photograph; uint8 (3, H, W) in and out."""


MIN_IMAGES = 10
"""Images of a kind of content that each class needs for it to be balanced separately; fewer would repeat too often."""
OTHER_CONTENT = ""
"""The cell for content that only one class has, or that is unknown."""

PADDING = -1
"""Sample index of a row that only pads a block to its full size."""


@dataclass(frozen=True)
class DatasetSpec:
    """What views are made from.

    Attributes:
        samples: table of samples.
        spec: preprocessing that turns a picture into a view.
        aligner: gives every sample the form of a photograph first; None leaves samples as they are.
    """

    samples: pa.Table
    spec: Preprocess
    aligner: PictureAligner | None = None


@dataclass(frozen=True)
class SamplingPlan:
    """Everything a training sees, in order.

    Attributes:
        sample_K: int64, sample index of each draw; B consecutive draws form a step.
        variant_K: int64, which augmented variant of the sample; together with the sample's group it seeds the
            augmentation.
        view_K: int64, which of the views that the detector scores an image by.
        batch_size: B.
    """

    sample_K: NDArray[np.int64]
    variant_K: NDArray[np.int64]
    view_K: NDArray[np.int64]
    batch_size: int

    @property
    def steps(self) -> int:
        """Number of steps of the whole training."""
        return len(self.sample_K) // self.batch_size


def sample_epochs(
    kinds: Sequence[tuple[int, str]],
    *,
    contents: Sequence[str] = (),
    epochs: int,
    steps: int,
    batch_size: int,
    seed: int,
) -> SamplingPlan:
    """Draw the samples of every step; each epoch is balanced by `balanced_weights`.

    Args:
        kinds: label and source of each sample that may be drawn.
        contents: content of each sample; empty if unknown.
        epochs: number of epochs.
        steps: steps per epoch.
        batch_size: B.
        seed: determines every draw.

    Raises:
        SettingsError: one of the classes is empty.
    """
    weight_N = balanced_weights(kinds, contents)
    drawn = [
        systematic_sample(weight_N, steps * batch_size, np.random.default_rng((seed, epoch))) for epoch in range(epochs)
    ]
    variants = np.repeat(np.arange(epochs), steps * batch_size)
    return SamplingPlan(np.concatenate([np.empty(0, np.int64), *drawn]), variants, np.zeros_like(variants), batch_size)


def balanced_weights(kinds: Sequence[tuple[int, str]], contents: Sequence[str] = ()) -> NDArray[np.float64]:
    """Compute sampling weights under which neither image counts nor, where possible, content predict the label.

    Each class has a total weight of one half. A kind of content of which both classes have at least `MIN_IMAGES` images
    is a cell of each class; everything else in a class forms one further cell. Cells of a class weigh the same, sources
    in a cell weigh the same, and images of a source weigh the same. Without contents each class is a single cell, in
    which all sources weigh the same.

    Args:
        kinds: label and source of each sample.
        contents: content of each sample, an empty string if unknown; no entries at all if none is known.

    Returns:
        weight_N, float64, sum 1.

    Raises:
        SettingsError: one of the classes is empty.
    """
    if len({label for label, _ in kinds}) != 2:
        only = sorted({source for _, source in kinds})
        raise SettingsError(f"training needs both classes, got only {only}; add samples of the other class")
    known = list(contents) or [""] * len(kinds)
    counts = Counter((label, content) for (label, _), content in zip(kinds, known, strict=True))
    shared = {content for content in known if content and min(counts[0, content], counts[1, content]) >= MIN_IMAGES}
    cells = [
        (label, content if content in shared else OTHER_CONTENT, source)
        for (label, source), content in zip(kinds, known, strict=True)
    ]
    images = Counter(cells)
    sources = Counter((label, cell) for label, cell, _ in images)
    of_class = Counter(label for label, _ in sources)
    return np.array([1 / (2 * of_class[cell[0]] * sources[cell[:2]] * images[cell]) for cell in cells])


def systematic_sample(weight_N: NDArray[np.float64], draws: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Draw sample indices by systematic sampling: one random start and even strides over the cumulative weights.

    Args:
        weight_N: float64, sum 1.
        draws: number of draws.
        chance: random generator.

    Returns:
        int64 (draws,), shuffled; each index occurs as often as its weight says, up to one draw.
    """
    order_N = chance.permutation(len(weight_N))
    edge_N = np.cumsum(weight_N[order_N])
    marks = (np.arange(draws) + chance.random()) / max(1, draws) * edge_N[-1]
    found = order_N[np.minimum(np.searchsorted(edge_N, marks, side="right"), len(order_N) - 1)]
    return chance.permutation(found)
