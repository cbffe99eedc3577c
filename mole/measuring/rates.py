"""Rates: shares of images with exact (Clopper-Pearson) intervals, and the precision at a prevalence that follows.

Every scan's page needs these, so nothing here imports scipy.stats or scikit-learn, which take seconds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from mole.errors import SettingsError
from mole.measuring.calibration import FloatArray


@dataclass(frozen=True)
class Rate:
    """A share of images with its exact 95 % interval."""

    hits: int
    images: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Precision:
    """Precision at an assumed prevalence: the share of images called generated that are generated.

    Attributes:
        prevalence: assumed share of generated images.
        value: None if nothing was called generated.
        low: with the detection rate at its lower and the false-positive rate at its upper bound.
        high: with the opposite bounds.
    """

    prevalence: float
    value: float | None
    low: float
    high: float


def clopper_pearson(errors: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute the exact confidence interval of a rate.

    Args:
        errors: number of errors.
        trials: number of trials.
        level: confidence of the interval.

    Returns:
        The lower and the upper bound.

    Source: Clopper and Pearson 1934.
    """
    tail = (1 - level) / 2
    lower = 0.0 if errors == 0 else float(betaincinv(errors, trials - errors + 1, tail))
    upper = 1.0 if errors == trials else float(betaincinv(errors + 1, trials - errors, 1 - tail))
    return lower, upper


def upper_bound(errors: int, trials: int, *, level: float = 0.95) -> float:
    """Compute the exact one-sided upper confidence bound of a rate.

    Args:
        errors: number of errors.
        trials: number of trials.
        level: confidence of the one-sided bound.

    Source: Clopper and Pearson 1934; the upper end of their interval at level 2 x `level` - 1.
    """
    return clopper_pearson(errors, trials, level=2 * level - 1)[1]


def share_above(logit_N: FloatArray, threshold: float) -> Rate:
    """Compute the share of images at or above a threshold.

    Args:
        logit_N: logits of one class.
        threshold: in logits.

    Raises:
        SettingsError: there are no images.
    """
    return rate_of(np.asarray(logit_N >= threshold))


def rate_of(hit_N: NDArray[np.bool_]) -> Rate:
    """Compute the share of true values with its interval; bool (N,).

    Raises:
        SettingsError: there are no images.
    """
    if len(hit_N) == 0:
        raise SettingsError("a rate needs at least 1 image, got 0")
    hits = int(hit_N.sum())
    low, high = clopper_pearson(hits, len(hit_N))
    return Rate(hits, len(hit_N), hits / len(hit_N), low, high)


def precision_at(prevalence: float, found: Rate, alarms: Rate) -> Precision:
    """Compute the precision at a prevalence.

    Args:
        prevalence: assumed share of generated images.
        found: rate of generated images called generated.
        alarms: rate of real images called generated.

    Returns:
        Bayes' rule; the bounds combine those of both rates, so they hold with at least 90 % confidence.
    """

    def bayes(right: float, wrong: float) -> float | None:
        """Apply Bayes' rule to both rates; None if nothing is called generated."""
        called = prevalence * right + (1 - prevalence) * wrong
        return prevalence * right / called if called > 0 else None

    low, high = bayes(found.low, alarms.high), bayes(found.high, alarms.low)
    return Precision(prevalence, bayes(found.share, alarms.share), low or 0.0, 1.0 if high is None else high)
