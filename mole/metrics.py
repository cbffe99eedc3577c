"""Metrics: how well logits order generated above real, and how often real images are called generated.

Legend: R real images, G generated ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from mole.calibration import FloatArray
from mole.errors import SettingsError
from mole.fitting import clopper_pearson


@dataclass(frozen=True)
class Rate:
    """A share of images with its exact 95 % interval."""

    hits: int
    images: int
    share: float
    low: float
    high: float


def auroc(real_R: FloatArray, generated_G: FloatArray) -> float:
    """Measure the chance that a generated image scores above a real one, ties counted half.

    Args:
        real_R: logits of real images.
        generated_G: logits of generated images.

    Raises:
        SettingsError: one of the classes is empty.
    """
    reals, fakes = _both(real_R, generated_G)
    rank = rankdata(np.concatenate([generated_G, real_R]))[:fakes].sum()
    return float((rank - fakes * (fakes + 1) / 2) / (reals * fakes))


def average_precision(real_R: FloatArray, generated_G: FloatArray) -> float:
    """Average the precision over the generated images, best first; equal logits share one threshold.

    Args:
        real_R: logits of real images.
        generated_G: logits of generated images.

    Raises:
        SettingsError: one of the classes is empty.
    """
    _both(real_R, generated_G)
    at_least = np.unique(generated_G)
    hits = np.array([(generated_G >= bound).sum() for bound in at_least])
    alarms = np.array([(real_R >= bound).sum() for bound in at_least])
    gained = hits - np.append(hits[1:], 0)
    return float((gained * hits / (hits + alarms)).sum() / len(generated_G))


def share_above(logit_N: FloatArray, threshold: float) -> Rate:
    """Count the images at or above a threshold.

    Args:
        logit_N: logits of one class.
        threshold: in logits.

    Raises:
        SettingsError: there are no images.
    """
    if len(logit_N) == 0:
        raise SettingsError("a rate needs at least 1 image, got 0")
    hits = int((logit_N >= threshold).sum())
    low, high = clopper_pearson(hits, len(logit_N))
    return Rate(hits, len(logit_N), hits / len(logit_N), low, high)


def _both(real_R: FloatArray, generated_G: FloatArray) -> tuple[int, int]:
    """Count both classes.

    Raises:
        SettingsError: one of them is empty.
    """
    if not (len(real_R) and len(generated_G)):
        raise SettingsError(f"both classes need images, got {len(real_R)} real and {len(generated_G)} generated")
    return len(real_R), len(generated_G)
