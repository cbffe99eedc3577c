"""Thresholds: a calibration whose thresholds come from real images of a named collection, and its description.

Legend: R real images.
"""

from collections.abc import Iterable

from mole.config import Description
from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.rates import clopper_pearson, share_above

UNNAMED = "an unnamed collection"


def calibration_at(
    real_R: FloatArray, bounds: tuple[float, float], fitted: tuple[float, float], *, collection: str | None
) -> Calibration:
    """Build a calibration from thresholds that real images require, limited by the balance of evidence.

    Args:
        real_R: logits of the real images that the thresholds come from.
        bounds: `real_below` and `generated_above` for the target false-positive rates.
        fitted: temperature and bias.
        collection: name of the collection of those images; None if unknown.

    Returns:
        The calibration. No logit below the balance, where both classes are equally likely, is `generated`, and none
        above it is `real`, so that a weak detector says `unsure` instead.
    """
    temperature, bias = fitted
    below, above = min(*bounds, -bias), max(bounds[1], -bias)
    alarms = share_above(real_R, above)
    return Calibration(
        temperature=temperature,
        bias=bias,
        real_below=below,
        generated_above=above,
        false_positive_rate=alarms.share,
        false_positive_interval=clopper_pearson(alarms.hits, alarms.images),
        reals=alarms.images,
        collection=collection,
    )


def threshold_text(calibration: Calibration) -> str:
    """Describe the thresholds, and the images they hold for."""
    low, high = calibration.false_positive_interval or (0.0, 1.0)
    return (
        f"thresholds: generated from logit {calibration.generated_above:.3f} on, real below "
        f"{calibration.real_below:.3f}; {calibration.false_positive_rate or 0:.2%} (95 %: {low:.2%} to {high:.2%}) of "
        f"{calibration.reals:,} real images score above, measured on {calibration.collection or UNNAMED}; other images "
        "may differ considerably"
    )


def measured_on(description: Description) -> str:
    """Return the name of the collection that a checkpoint's thresholds were set on."""
    return description.calibration.collection or UNNAMED


def join_names(sources: Iterable[str]) -> str:
    """Join the names of several sources to that of one collection, in order."""
    return ", ".join(sorted(set(sources)))
