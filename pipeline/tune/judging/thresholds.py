"""The thresholds: where real images of a named collection put the bounds of a verdict, and how that is told.

Legend: R real images.
"""

from collections.abc import Iterable

from mole.config import Description
from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.fitting import clopper_pearson
from mole.measuring.metrics import share_above

UNNAMED = "a collection that it does not name"


def calibration_at(
    real_R: FloatArray, bounds: tuple[float, float], fitted: tuple[float, float], *, collection: str | None
) -> Calibration:
    """Put the bounds of a verdict where real images ask for, and never against the evidence.

    Args:
        real_R: logits of the real images that the bounds come from.
        bounds: `real_below` and `generated_above` as their false positives ask for.
        fitted: temperature and bias.
        collection: the name of what those images are, None where nobody says.

    Returns:
        How logits are read. No logit below the balance, where the evidence speaks for neither class, is `generated`,
        and none above it is `real`: a detector that tells little is `unsure` instead.
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
    """Say how logits are read from now on, and of which images that holds."""
    low, high = calibration.false_positive_interval or (0.0, 1.0)
    return (
        f"thresholds: generated from logit {calibration.generated_above:.3f} on, real below "
        f"{calibration.real_below:.3f}; {calibration.false_positive_rate or 0:.2%} (95 %: {low:.2%} to {high:.2%}) of "
        f"{calibration.reals:,} real images lie above, measured on {calibration.collection or UNNAMED}; other "
        "images may differ much"
    )


def measured_on(description: Description) -> str:
    """Name the collection that a checkpoint's thresholds were measured on."""
    return description.calibration.collection or UNNAMED


def join_names(sources: Iterable[str]) -> str:
    """Name several sources as one collection, in order."""
    return ", ".join(sorted(set(sources)))
