"""Conclusion: the summary sentences at the top of the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.review.analysis.checkpoint import Checkpoint
from pipeline.review.analysis.findings import Counts, Share
from pipeline.review.analysis.prevalence import Expected, Prevalence, estimate, precision
from pipeline.review.analysis.rates import Kind, Measurement, strongest
from pipeline.review.page.wording import interval, percent
from pipeline.telemetry.printable import counted


@dataclass(frozen=True)
class Reading:
    """The interpretation of a scan's counts under one measurement of the model's error rates.

    Attributes:
        measured: the measurement.
        prevalence: estimated share of generated images.
        precision: share of generated images among those called generated, at the assumed prevalence.
        alarms: expected false positives if no image were generated.
    """

    measured: Measurement
    prevalence: Prevalence
    precision: Expected
    alarms: float


def readings(counts: Counts, model: Checkpoint | None, assumed: float) -> list[Reading]:
    """Interpret the counts under each known measurement; empty if no image was scored.

    Args:
        counts: counts of the rows.
        model: the model's checkpoint, None if not available.
        assumed: the assumed prevalence of the probabilities.
    """
    if model is None or not counts.scored:
        return []
    return [
        Reading(
            one,
            estimate(counts.generated, counts.scored, one),
            precision(assumed, one),
            one.alarms.share * counts.scored,
        )
        for one in model.measured
    ]


def verdict_shares(counts: Counts) -> str:
    """Describe the verdicts."""
    if not counts.scored:
        return "No image could be scored, so nothing is called generated or real."
    every = "the one image" if counts.scored == 1 else f"all {counts.scored:,} images"
    if counts.unsure == counts.scored:
        return f"The model is unsure about {every} with a score."
    for verdict in ("generated", "real"):
        if getattr(counts, verdict) == counts.scored:
            return f"The model calls {every} with a score {verdict}."
    share = f" ({percent(counts.generated / counts.scored)})" if counts.generated else ""
    return (
        f"Of {counts.scored:,} images with a score the model calls {_number(counts.generated)} generated{share}, "
        f"{_number(counts.real)} real, and is unsure about {_number(counts.unsure)}."
    )


def generated_share(counts: Counts, found: Sequence[Reading]) -> str:
    """Describe the estimated share of generated images, or why it cannot be estimated."""
    if not counts.scored:
        return ""
    if not found:
        return (
            "How many are really generated cannot be estimated: it is not known how often this model is wrong. "
            f"{HOW_TO_MEASURE}"
        )
    if counts.scored < MIN_IMAGES:
        number = NUMBERS[counts.scored - 1].capitalize()
        images = "image is" if counts.scored == 1 else "images are"
        return f"{number} {images} too few to say how many are really generated."
    best = strongest([one.measured for one in found])
    if not best:
        least = max(found, key=lambda one: (one.measured.kind, -one.prevalence.low))
        at_least = (
            f"at least {percent(least.prevalence.low)} are generated, if these images are like {least.measured.words}"
            if least.prevalence.low > 0
            else "it may be that none is"
        )
        return (
            f"How many are really generated cannot be estimated, since it was not measured how many generated images "
            f"this model finds; {at_least}. {HOW_TO_MEASURE}"
        )
    return _estimated(Share(counts.generated, counts.scored), [one for one in found if one.measured in best])


def limitations(counts: Counts, found: Sequence[Reading]) -> list[str]:
    """List the limitations of the estimate."""
    if not counts.scored or not found:
        return []
    sentences = [RATES_LIMITATION]
    high = max((one for one in found if one.measured.kind is Kind.OTHER), key=_alarms, default=None)
    low = Share(counts.generated, counts.scored).interval[0]
    if high is not None and counts.generated and high.measured.alarms.high >= low:
        sentences.append(
            f"On one collection that it never saw this model called {percent(high.measured.alarms.share)} of the real "
            "images generated. If these images are like those, it may be that none of them is generated."
        )
    if all(one.measured.kind < Kind.SIBLING for one in found):
        sentences.append(
            "The rates were measured on images of the collections that the model learned from, which flatters it."
        )
    return sentences


def declared(counts: Counts) -> str:
    """Describe what the files declare."""
    made, taken = counts.declared["generated"], counts.declared["camera"]
    if not made and not taken:
        return "No file says about itself that it was generated, or names a camera; most tools remove such marks."
    says = f"{counted(made, 'file says that it was', 'files say that they were')} generated" if made else NONE_DECLARED
    names = f"{counted(taken, 'names', 'name')} a camera" if taken else "none names a camera"
    against = (
        f" {counted(counts.contradicted, 'of these contradicts its verdict', 'of these contradict their verdict')}."
    )
    against = against if counts.contradicted else ""
    return f"{says}, {names}.{against} Anyone can write or remove such marks."


WIDE, VAIN = 0.3, 0.9
"""Widths of an interval beyond which only its ends are stated, and beyond which it is uninformative."""
NUMBERS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
MIN_IMAGES = len(NUMBERS) + 1
"""Minimum number of images for an estimate."""
NONE_DECLARED = "No file says that it was generated"
RATES_LIMITATION = (
    "Error rates hold for images like those that they were measured on. Nobody has measured them on yours: other "
    "cameras, subjects, generators or compression change them, often by several times."
)
"""The general limitation."""
HOW_TO_MEASURE = (
    "To know it, measure this model on images of the same kind whose origin is known: mole-scan train evaluate gives "
    "both rates, mole-scan train calibrate that of real images alone."
)
"""How to measure the rates."""


def _estimated(called: Share, best: Sequence[Reading]) -> str:
    """Describe the estimate, or the range of several."""
    if not all(one.prevalence.separates for one in best):
        return (
            "How many are really generated cannot be estimated: where its errors were measured, the model called real "
            "images generated about as often as generated ones, so its verdicts tell nothing about their number."
        )
    if not any(one.prevalence.fits for one in best):
        fewer = all(called.share < one.measured.alarms.share for one in best)
        rates = [one.measured.alarms if fewer else one.measured.found for one in best]
        rate = min(one.share for one in rates if one is not None)
        return (
            f"How many are really generated cannot be estimated: {'fewer' if fewer else 'more'} are called generated "
            f"than the model called of {'real' if fewer else 'generated'} images where its errors were measured "
            f"({percent(rate)}). These images are of another kind, or the model was trained on some. {HOW_TO_MEASURE}"
        )
    values = sorted(one.prevalence.value for one in best if one.prevalence.value is not None)
    ends = min(one.prevalence.low for one in best), max(one.prevalence.high for one in best)
    about = percent(values[0]) if len(values) == 1 else f"{percent(values[0])} to {percent(values[-1])}"
    errs = f"if the model errs here as it did on {best[0].measured.words}"
    if ends[1] - ends[0] > VAIN:
        return f"How many are really generated cannot be said: anything {_between(ends)} fits these counts, {errs}."
    if ends[1] - ends[0] > WIDE:
        return f"{_between(ends).capitalize()} of them are really generated (95 % interval), {errs}."
    return f"About {about} of them are really generated (95 % interval {interval(ends)}), {errs}."


def _between(ends: tuple[float, float]) -> str:
    return f"between {percent(ends[0])} and {percent(ends[1])}"


def _number(count: int) -> str:
    return f"{count:,}" if count else "none"


def _alarms(one: Reading) -> float:
    return one.measured.alarms.share
