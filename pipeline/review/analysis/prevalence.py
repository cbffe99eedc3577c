"""Prevalence: estimates the share of generated images from verdict counts and a model's measured error rates.

Legend: D draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mole.measuring.rates import Rate, clopper_pearson, precision_at
from pipeline.review.analysis.rates import Measurement

LEVEL = 0.95
DRAWS = 100_000
SEED = 20_140_113

Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Prevalence:
    """An estimated share of generated images.

    Attributes:
        value: the Rogan-Gladen estimate, clipped to [0, 1]; None if the detection rate is unknown, or not above the
            false-positive rate.
        low: lower end of the 95 % interval.
        high: upper end; 1 if the detection rate is unknown.
        separates: whether the rates differ significantly: the detection rate is at most the false-positive rate in no
            more than 2.5 % of the draws.
        fits: whether the counts are compatible with the rates; if not, the images are of another kind.
    """

    value: float | None
    low: float
    high: float
    separates: bool
    fits: bool


@dataclass(frozen=True)
class Expected:
    """Precision at a prevalence: the share of images called generated that are generated.

    Attributes:
        value: by Bayes' rule; None if the detection rate is unknown.
        low: with both rates at their unfavourable bounds; 0 if the detection rate is unknown.
        high: with both at their favourable bounds.
    """

    value: float | None
    low: float
    high: float


def estimate(called: int, images: int, measured: Measurement) -> Prevalence:
    """Estimate the share of generated images from the number called generated.

    The estimate is (called - alarms) / (found - alarms), in shares. Its interval combines the uncertainty of all three
    shares: each is drawn from the beta distribution of its lower or upper Clopper-Pearson bound (the unfavourable one
    for each end), and the ends are quantiles of the results. A draw whose rates do not separate excludes nothing.

    Args:
        called: number of images called `generated`, without `unsure`.
        images: number of images with a verdict.
        measured: the model's error rates.

    Source: Rogan and Gladen 1978, American Journal of Epidemiology 107, 71-76; the interval is that of Bayer, Fay and
    Graubard 2022, arXiv:2205.13494 (melded confidence intervals) for simple random samples.
    """
    alarms, found = measured.alarms, measured.found
    rng = np.random.default_rng(SEED)
    low_D = _true_share(
        _drawn(rng, called, images, upper=False),
        _drawn(rng, alarms.hits, alarms.images, upper=True),
        np.ones(DRAWS) if found is None else _drawn(rng, found.hits, found.images, upper=True),
        undecided=0.0,
    )
    low = float(np.quantile(low_D, (1 - LEVEL) / 2))
    least, most = clopper_pearson(called, images)
    fits = most >= alarms.low and (found is None or least <= found.high)
    if found is None:
        return Prevalence(None, low, 1.0, separates=True, fits=fits)
    alarm_D = _drawn(rng, alarms.hits, alarms.images, upper=False)
    found_D = _drawn(rng, found.hits, found.images, upper=False)
    high_D = _true_share(_drawn(rng, called, images, upper=True), alarm_D, found_D, undecided=1.0)
    tied = _drawn(rng, alarms.hits, alarms.images, upper=True) >= found_D
    separates = found.share > alarms.share and float(tied.mean()) <= (1 - LEVEL) / 2
    value = (called / images - alarms.share) / (found.share - alarms.share) if found.share > alarms.share else None
    high = float(np.quantile(high_D, (1 + LEVEL) / 2))
    return Prevalence(None if value is None else float(np.clip(value, 0, 1)), low, high, separates, fits)


def precision(prevalence: float, measured: Measurement) -> Expected:
    """Compute the precision at a prevalence.

    Args:
        prevalence: the assumed share of generated images.
        measured: the model's error rates.
    """
    if measured.found is not None:
        result = precision_at(prevalence, measured.found, measured.alarms)
        return Expected(result.value, result.low, result.high)
    all_found = Rate(1, 1, 1.0, 1.0, 1.0)
    return Expected(None, 0.0, precision_at(prevalence, all_found, measured.alarms).high)


def _true_share(called_D: Draws, alarm_D: Draws, found_D: Draws, *, undecided: float) -> Draws:
    """Correct for a model's errors, draw by draw, clipped to [0, 1]; float64 (D,)."""
    apart_D = found_D - alarm_D
    share_D = np.divide(called_D - alarm_D, apart_D, out=np.full(len(called_D), undecided), where=apart_D > 0)
    clipped_D: Draws = np.clip(share_D, 0, 1)
    return clipped_D


def _drawn(rng: np.random.Generator, hits: int, images: int, *, upper: bool) -> Draws:
    """Draw shares whose quantiles are the lower or upper Clopper-Pearson bounds; float64 (D,)."""
    one, other = (hits + 1, images - hits) if upper else (hits, images - hits + 1)
    if one == 0 or other == 0:
        return np.full(DRAWS, 0.0 if one == 0 else 1.0)
    return rng.beta(one, other, DRAWS)
