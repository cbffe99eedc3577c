"""Metrics: ranking, detection rates and calibration of logits.

Legend: R real images, G generated ones, N images of both classes, K bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mole.errors import SettingsError
from mole.measuring.calibration import FloatArray
from mole.measuring.calibration_fit import min_reals, threshold_for
from mole.measuring.rates import Rate, share_above

BINS = 10
"""Bins of a reliability diagram."""
MIN_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Detection:
    """The detection rate at an allowed false-positive rate.

    Attributes:
        allowed: the false-positive rate.
        needed: real images needed to demonstrate it; with fewer, the rest is None.
        threshold: in logits, set on the given real images.
        alarms: real images at or above it.
        found: generated images at or above it.
    """

    allowed: float
    needed: int
    threshold: float | None = None
    alarms: Rate | None = None
    found: Rate | None = None


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram, with both classes weighted equally.

    Attributes:
        predicted: mean probability of each bin that holds images.
        observed: share of generated images there.
        weight: share of all images there.
        images: how many there are.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    weight: tuple[float, ...]
    images: tuple[int, ...]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of the two, weighted by bin.

        Source: Naeini et al. 2015; bins of equal width.
        """
        pairs = zip(self.predicted, self.observed, self.weight, strict=True)
        return float(sum(weight * abs(predicted - observed) for predicted, observed, weight in pairs))


def auroc(real_R: FloatArray, generated_G: FloatArray) -> float:
    """Compute the AUROC: the probability that a generated image scores above a real one, ties counted half.

    Args:
        real_R: logits of real images.
        generated_G: logits of generated images.

    Raises:
        SettingsError: one of the classes is empty.
    """
    return float(roc_auc_score(*_joined(real_R, generated_G)))


def auroc_interval(area: float, reals: int, fakes: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute a confidence interval of an AUROC; unlike a bootstrap or DeLong's, it is not degenerate at 1.

    Args:
        area: the measured AUROC.
        reals: real images.
        fakes: generated images.
        level: confidence of the interval.

    Returns:
        The lower and the upper bound.

    Source: Newcombe 2006, Statistics in Medicine 25, 559-573, method 5: the score interval with the variance of Hanley
    and McNeil 1982, both sample sizes replaced by their mean.
    """
    width = float(ndtri((1 + level) / 2))
    others = (reals + fakes) / 2 - 1

    def too_far(bound: float) -> float:
        """Return how far a bound lies outside the interval: zero at its ends, negative inside."""
        spread = 1 + others * (1 - bound) / (2 - bound) + others * bound / (1 + bound)
        return (bound - area) ** 2 - width**2 * bound * (1 - bound) * spread / (reals * fakes)

    inside = min(max(area, MIN_PROBABILITY), 1 - MIN_PROBABILITY)  # at 0 and 1 the variance is zero, a spurious root
    low = 0.0 if area <= 0 else float(brentq(too_far, 0, inside))
    high = 1.0 if area >= 1 else float(brentq(too_far, inside, 1))
    return low, high


def average_precision(real_R: FloatArray, generated_G: FloatArray) -> float:
    """Compute the average precision of generated images; equal logits share one threshold.

    Args:
        real_R: logits of real images.
        generated_G: logits of generated images.

    Raises:
        SettingsError: one of the classes is empty.
    """
    return float(average_precision_score(*_joined(real_R, generated_G)))


def detection_at(real_R: FloatArray, generated_G: FloatArray, allowed: float) -> Detection:
    """Measure the detection rate at a false-positive rate, or return how many real images that needs.

    Args:
        real_R: logits of real images; the threshold is set on them.
        generated_G: logits of generated images.
        allowed: the false-positive rate.
    """
    needed = min_reals(allowed)
    if len(real_R) < needed:
        return Detection(allowed, needed)
    threshold, _ = threshold_for(real_R, allowed)
    return Detection(
        allowed, needed, threshold, alarms=share_above(real_R, threshold), found=share_above(generated_G, threshold)
    )


def reliability(probability_N: FloatArray, label_N: NDArray[np.int_], *, bins: int = BINS) -> Reliability:
    """Compute a reliability diagram, with both classes weighted equally.

    Args:
        probability_N: that an image is generated, float (N,).
        label_N: 1 for generated, 0 for real, int (N,).
        bins: number of bins of equal width; empty ones are omitted.

    Raises:
        SettingsError: one of the classes is empty.
    """
    weight_N = _balance(label_N)
    place_N = np.minimum((np.asarray(probability_N) * bins).astype(int), bins - 1)
    weight_K = np.bincount(place_N, weight_N, bins)
    full = weight_K > 0
    predicted_K = np.bincount(place_N, weight_N * probability_N, bins)[full] / weight_K[full]
    observed_K = np.bincount(place_N, weight_N * label_N, bins)[full] / weight_K[full]
    images_K = np.bincount(place_N, minlength=bins)[full]
    return Reliability(*(tuple(column.tolist()) for column in (predicted_K, observed_K, weight_K[full], images_K)))


def brier(probability_N: FloatArray, label_N: NDArray[np.int_]) -> float:
    """Compute the Brier score, with both classes weighted equally.

    Args:
        probability_N: that an image is generated, float (N,).
        label_N: 1 for generated, 0 for real, int (N,).

    Raises:
        SettingsError: one of the classes is empty.

    Source: Brier 1950.
    """
    return float(brier_score_loss(label_N, probability_N, sample_weight=_balance(label_N)))


def _balance(label_N: NDArray[np.int_]) -> NDArray[np.float64]:
    """Compute image weights that balance the classes; float64 (N,), sum 1.

    Raises:
        SettingsError: one of the classes is empty.
    """
    fakes = int((label_N == 1).sum())
    _both(len(label_N) - fakes, fakes)
    return np.where(label_N == 1, 0.5 / fakes, 0.5 / (len(label_N) - fakes))


def _joined(real_R: FloatArray, generated_G: FloatArray) -> tuple[NDArray[np.int_], FloatArray]:
    """Concatenate both classes: labels, 1 for generated, and logits; int and float, both of shape (R + G,).

    Raises:
        SettingsError: one of them is empty.
    """
    _both(len(real_R), len(generated_G))
    label_N = np.repeat([0, 1], [len(real_R), len(generated_G)])
    return label_N, np.concatenate([real_R, generated_G])


def _both(reals: int, fakes: int) -> None:
    """Check that both classes have images.

    Raises:
        SettingsError: one of them is empty.
    """
    if not (reals and fakes):
        raise SettingsError(f"both classes need images, got {reals} real and {fakes} generated")
