"""Figures: what a detector does on sources that it never saw: as shipped, aligned, photographs against themselves.

Legend: N images, M pictures of pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mole.calibration import Calibration
from mole.fitting import fit_temperature, threshold_for
from mole.metrics import Rate, auroc, average_precision, share_above
from pipeline.tune.data.samples import Sample
from pipeline.tune.judging.thresholds import named, placed

UNSURE_SHARE = 0.10  # of held-out reals may lie above `real_below`


@dataclass(frozen=True)
class Held:
    """Logits of images whose source was held out; NaN where no fold has held the image out."""

    samples: Sequence[Sample]
    fold_N: NDArray[np.int_]  # -1 for none
    shipped_N: NDArray[np.float32]
    aligned_N: NDArray[np.float32]

    def reals(self, fold: int | None = None) -> NDArray[np.bool_]:
        """Mark the real images that a fold, or any fold, has held out."""
        return self._of(0, fold)

    def fakes(self, fold: int | None = None) -> NDArray[np.bool_]:
        """Mark the generated images that a fold, or any fold, has held out."""
        return self._of(1, fold)

    def _of(self, label: int, fold: int | None) -> NDArray[np.bool_]:
        labels_N = np.array([sample.label for sample in self.samples])
        seen_N = self.fold_N >= 0 if fold is None else self.fold_N == fold
        return np.asarray((labels_N == label) & seen_N)


@dataclass(frozen=True)
class SourceFigure:
    """One held-out source against the images of the other class that the same fold held out."""

    source: str
    generated: bool
    images: int
    against: int
    auroc_shipped: float
    auroc_aligned: float
    precision_shipped: float
    precision_aligned: float


def by_source(held: Held) -> list[SourceFigure]:
    """Measure each held-out source apart, generated ones first."""
    names_N = np.array([sample.source for sample in held.samples])
    found = []
    for generated in (True, False):
        own_N, other = (held.fakes(), held.reals) if generated else (held.reals(), held.fakes)
        for source in sorted(set(names_N[own_N])):
            mine_N = own_N & (names_N == source)
            theirs_N = other(int(held.fold_N[mine_N][0]))
            found.append(_figure(source, mine_N, theirs_N, held, generated=generated))
    return found


@dataclass(frozen=True)
class PairFigure:
    """The photographs of one held-out source against their own reconstructions, one last encoder for both."""

    source: str
    pairs: int
    auroc: float


def by_photographs(samples: Sequence[Sample], logit_M: NDArray[np.float32]) -> list[PairFigure]:
    """Measure each held-out source of photographs against its reconstructions.

    Args:
        samples: photographs and reconstructions of the same source names.
        logit_M: float32, NaN where no fold has held the picture out.
    """
    names_M = np.array([sample.source for sample in samples])
    real_M = np.array([sample.label == 0 for sample in samples])
    seen_M = ~np.isnan(logit_M)
    found = []
    for source in sorted(set(names_M[seen_M])):
        own_M = (names_M == source) & seen_M
        area = auroc(logit_M[own_M & real_M], logit_M[own_M & ~real_M])
        found.append(PairFigure(str(source), int((own_M & real_M).sum()), area))
    return found


def alarms(held: Held, threshold: float) -> dict[str, Rate]:
    """Count, for each held-out source and over all reals, the images at or above a threshold, as shipped."""
    names_N = np.array([sample.source for sample in held.samples])
    rates = {
        str(source): share_above(held.shipped_N[(names_N == source) & (held.fold_N >= 0)], threshold)
        for source in sorted(set(names_N[held.fold_N >= 0]))
    }
    return rates | {"all real": share_above(held.shipped_N[held.reals()], threshold)}


def calibrate(held: Held, final_K: NDArray[np.float32], rate: float) -> Calibration:
    """Set temperature, bias and thresholds on images that training did not see.

    Each threshold is the higher of two: over the reals that the folds held out, scored by detectors that never saw
    their source, and over the reals that were kept out of the final training, scored by the final detector.

    Args:
        held: the folds' logits.
        final_K: float32 (K,), the final detector's logits of the reals kept out of its training, as shipped.
        rate: the wanted share of real images called generated.
    """
    pools = [pool for pool in (held.shipped_N[held.reals()], final_K) if len(pool)]
    if not pools:
        return Calibration()
    above = max(threshold_for(pool, rate)[0] for pool in pools)
    below = min(above, max(threshold_for(pool, UNSURE_SHARE)[0] for pool in pools))
    real_R = held.shipped_N[held.reals()] if held.reals().any() else final_K
    sources = [sample.source for sample, own in zip(held.samples, held.reals(), strict=True) if own]
    seen_N = held.reals() | held.fakes()
    temperature, bias = 1.0, 0.0
    if seen_N.any():
        temperature, bias = fit_temperature(held.shipped_N[seen_N], held.fakes()[seen_N].astype(int))
    return placed(real_R, (below, above), (temperature, bias), collection=named(sources) or None)


def _figure(
    source: str, mine_N: NDArray[np.bool_], theirs_N: NDArray[np.bool_], held: Held, *, generated: bool
) -> SourceFigure:
    """Compare one source with the other class; each mask is bool (N,)."""
    real_N, fake_N = (theirs_N, mine_N) if generated else (mine_N, theirs_N)
    pairs = [(logit_N[real_N], logit_N[fake_N]) for logit_N in (held.shipped_N, held.aligned_N)]
    areas = [auroc(*pair) for pair in pairs]
    precisions = [average_precision(*pair) for pair in pairs]
    return SourceFigure(source, generated, int(mine_N.sum()), int(theirs_N.sum()), *areas, *precisions)
