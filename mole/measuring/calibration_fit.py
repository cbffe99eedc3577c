"""Calibration fit: temperature and bias from both classes, thresholds from real images.

Shapes: N images.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mole.errors import SettingsError
from mole.measuring.calibration import FloatArray
from mole.measuring.rates import clopper_pearson, upper_bound


def fit_temperature(logit_N: FloatArray, label_N: NDArray[np.int_]) -> tuple[float, float]:
    """Fit temperature and bias to held-out images by maximum likelihood, with both classes weighted equally.

    Args:
        logit_N: the detector's logits, float (N,).
        label_N: 1 for generated, 0 for real, int (N,).

    Returns:
        temperature, bias.

    Raises:
        SettingsError: only one class has images.

    Source: Guo et al. 2017, arXiv:1706.04599 (temperature), with Platt's bias.
    """
    generated = label_N == 1
    if generated.all() or not generated.any():
        raise SettingsError(f"calibration needs both classes, got {generated.sum()} generated of {len(label_N)} images")
    weight_N = np.where(generated, 0.5 / generated.mean(), 0.5 / (1 - generated.mean()))

    def loss(parameters: NDArray[np.float64]) -> float:
        """Compute the weighted cross-entropy; parameters are log-temperature and bias, float64 of shape (2,)."""
        shifted_N = (logit_N + parameters[1]) / np.exp(parameters[0])
        return float((weight_N * np.logaddexp(0, np.where(generated, -shifted_N, shifted_N))).mean())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return float(np.exp(best[0])), float(best[1])


def reals_to_demonstrate(errors: int, trials: int, rate: float) -> int | None:
    """Compute the number of real images needed to demonstrate a rate if the observed error rate continues.

    Args:
        errors: false positives so far.
        trials: real images so far, 1 or more.
        rate: the false-positive rate that the upper bound is to reach.

    Returns:
        The number, those so far included; None if the observed rate is not below `rate`, so that no number suffices.
    """
    share = errors / trials
    if share >= rate:
        return None
    low, high = 0, min_reals(rate)
    while upper_bound(int(np.ceil(share * high)), high) > rate:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        shown = upper_bound(int(np.ceil(share * middle)), middle) <= rate
        low, high = (low, middle) if shown else (middle, high)
    return high


def min_reals(rate: float, *, level: float = 0.95) -> int:
    """Compute the number of real images that demonstrate a false-positive rate if none is misclassified.

    Args:
        rate: between 0 and 1, exclusive.
        level: confidence of the one-sided bound.

    Raises:
        SettingsError: the rate is out of range.
    """
    if not 0 < rate < 1:
        raise SettingsError(f"a false-positive rate must lie between 0 and 1, got {rate}")
    return int(np.ceil(np.log(1 - level) / np.log1p(-rate)))


def confident_threshold(logit_N: FloatArray, rate: float) -> float:
    """Find the lowest threshold whose false-positive rate is at most `rate` with 95 % confidence.

    Args:
        logit_N: logits of real images of the target population, sampled independently.
        rate: upper bound of the false-positive rate.

    Returns:
        The threshold.

    Raises:
        SettingsError: the sample is too small to demonstrate such a rate even without errors.

    Source: Wilks 1941, a one-sided tolerance limit from order statistics; no distribution is assumed.
    """
    needed = min_reals(rate)
    if len(logit_N) < needed:
        raise SettingsError(
            f"a false-positive rate of {rate:g} takes at least {needed:,} real images to be shown at 95 %, got "
            f"{len(logit_N):,}"
        )
    allowed = 0
    while upper_bound(allowed + 1, len(logit_N)) <= rate:
        allowed += 1
    return _above(logit_N, allowed)


def threshold_for(logit_N: FloatArray, rate: float) -> tuple[float, tuple[float, float]]:
    """Find the lowest threshold that at most a share `rate` of held-out real images reaches.

    Args:
        logit_N: logits of held-out real images.
        rate: the false-positive rate.

    Returns:
        The threshold, and the exact interval of its false-positive rate.

    Raises:
        SettingsError: the sample is too small for such a rate.
    """
    needed = int(np.ceil(1 / rate))
    if len(logit_N) < needed:
        raise SettingsError(
            f"a false-positive rate of {rate:g} takes at least {needed:,} real images, got {len(logit_N):,}"
        )
    allowed = int(np.floor(rate * len(logit_N)))
    threshold = _above(logit_N, allowed)
    errors = int((logit_N >= threshold).sum())
    return threshold, clopper_pearson(errors, len(logit_N))


def _above(logit_N: FloatArray, allowed: int) -> float:
    """Find the lowest threshold that at most `allowed` logits reach; float (N,)."""
    descending_N = np.sort(logit_N)[::-1]
    return float(np.nextafter(np.float32(descending_N[allowed]), np.float32(np.inf)))
