"""Robustness: how often a perturbation changes the verdict on a picture.

Legend: N images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.rates import Rate, rate_of
from pipeline.tune.evaluation.perturbation import ORIGINAL

GRID = (
    *(f"jpeg-{quality}" for quality in (95, 90, 75, 60, 50, 40, 30)),
    *(f"webp-{quality}" for quality in (90, 80, 50)),
    *(f"blur-{sigma}" for sigma in (0.5, 1, 2)),
    *(f"resize-{scale}" for scale in (0.25, 0.5, 0.75, 1.5, 2)),
    *(f"crop-{share}" for share in (0.8, 0.6)),
    *(f"noise-{deviation}" for deviation in (2, 5, 10)),
)
"""The perturbations that `grid` stands for."""


@dataclass(frozen=True)
class Flips:
    """Verdicts of a source that a perturbation changes.

    Attributes:
        source: a generator or a collection of photographs.
        generated: whether it is a generator.
        delivery: name of the perturbation.
        changed: images whose verdict changes.
        reversed: images whose verdict changes between `real` and `generated`.
    """

    source: str
    generated: bool
    delivery: str
    changed: Rate
    reversed: Rate


def flips(
    logits: Mapping[str, FloatArray], calibration: Calibration, sources: Sequence[str], labels: NDArray[np.int_]
) -> list[Flips]:
    """Compare the verdicts under each perturbation with those as shipped, source by source.

    Args:
        logits: by perturbation, (N,), NaN if an image could not be read.
        calibration: thresholds of the verdicts.
        sources: of each image.
        labels: of each image, 1 for generated.

    Returns:
        One entry per source and perturbation; none if the images were not scored as shipped.
    """
    if ORIGINAL not in logits:
        return []
    source_N = np.array(sources)
    before_N = calibration.verdict(logits[ORIGINAL])
    found = []
    for label, source in sorted({(int(label), name) for label, name in zip(labels, sources, strict=True)}):
        own_N = (source_N == source) & (labels == label) & np.isfinite(logits[ORIGINAL])
        for delivery, logit_N in logits.items():
            seen_N = own_N & np.isfinite(logit_N)
            if delivery == ORIGINAL or not seen_N.any():
                continue
            old_N, new_N = before_N[seen_N], calibration.verdict(logit_N[seen_N])
            changed_N = old_N != new_N
            crossed_N = changed_N & (old_N != "unsure") & (new_N != "unsure")
            found.append(Flips(source, bool(label), delivery, rate_of(changed_N), rate_of(crossed_N)))
    return found
