"""Unseen: the figures of one method on collections that its detectors never saw, as `figures` makes them."""

from pydantic import BaseModel, ConfigDict

from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.metrics import Rate
from pipeline.tune.judging.held_out import MIN_IMAGES
from pipeline.tune.judging.threshold_rule import Estimate


class _Metrics(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorAuroc(_Metrics):
    """One generator in one delivery, against the reals that the same fold held out.

    Attributes:
        generator: its name, or what several of few images are called.
        delivery: what was done to every image first.
        content: what is in the images of both classes; empty for all.
        fakes: its images.
        reals: those it is judged against.
        auroc: chance that one of its images scores above a real one.
        interval: 95 %, Newcombe's.
        precision: average precision, with as many of both as there are.
        found: its images called generated at thresholds that the other folds set.
    """

    generator: str
    delivery: str
    content: str
    fakes: int
    reals: int
    auroc: float
    interval: tuple[float, float]
    precision: float
    found: Rate

    @property
    def counts(self) -> bool:
        """Whether it has images enough for a mean or a lowest."""
        return min(self.fakes, self.reals) >= MIN_IMAGES


class MeanAuroc(_Metrics):
    """Over the generators of a delivery and a content, each weighing the same.

    Attributes:
        delivery: what was done to every image first.
        content: what is in the images of both classes; empty for all.
        generators: how many have images enough.
        auroc: mean.
        lowest: AUROC of the worst.
        worst: the worst by name, the worst first.
        precision: mean average precision.
        lowest_precision: of the generator that is worst at that.
    """

    delivery: str
    content: str
    generators: int
    auroc: float
    lowest: float
    worst: tuple[str, ...]
    precision: float
    lowest_precision: float


class PairAuroc(_Metrics):
    """Photographs of one source against what was made of these very photographs.

    Attributes:
        source: of the photographs.
        artefact: what the others were passed through.
        delivery: what was done to both first.
        pairs: how many.
        auroc: chance that what was made of one scores above a photograph.
        interval: 95 %, Newcombe's.
    """

    source: str
    artefact: str
    delivery: str
    pairs: int
    auroc: float
    interval: tuple[float, float]


class DetectionRate(_Metrics):
    """What is found at a false-positive rate.

    Attributes:
        delivery: what was done to every image first.
        allowed: the rate that thresholds were set for.
        found: generated images at or above a threshold set on the reals that the *other* folds held out.
        alarms: reals at or above it.
        same_set: generated images at or above one threshold set on the very reals of all folds, which flatters.
    """

    delivery: str
    allowed: float
    found: Rate
    alarms: Rate
    same_set: Rate


class CollectionRates(_Metrics):
    """One collection of reals at thresholds that the other folds set.

    Attributes:
        collection: its name, or what several of few images are called.
        delivery: what was done to every image first.
        alarms: called generated.
        unsure: called unsure.
    """

    collection: str
    delivery: str
    alarms: Rate
    unsure: Rate


class VerdictRates(_Metrics):
    """All images of a content in a delivery, at thresholds that the other folds set.

    Attributes:
        delivery: what was done to every image first.
        content: what is in the images; empty for all.
        alarms: reals called generated; its interval takes images for independent, which those of a collection are not.
        mean_alarms: that share, each collection weighing the same.
        above_aim: collections of which a larger share than the aim is called generated.
        unsure_reals: reals called unsure.
        found: generated images called generated.
        unsure_fakes: called unsure.
        missed: called real.
    """

    delivery: str
    content: str
    alarms: Rate
    mean_alarms: float
    above_aim: Rate
    unsure_reals: Rate
    found: Rate
    unsure_fakes: Rate
    missed: Rate


class PerturbationCost(_Metrics):
    """What a delivery costs, on the images that were judged both so and as shipped.

    Attributes:
        delivery: its name.
        images: of both classes.
        cost: how much lower the mean AUROC over generators is than as shipped.
        worst: the generator that loses most, and how much.
        changed: images with another verdict than as shipped.
        reversed: from real to generated or back.
        alarms: reals called generated.
    """

    delivery: str
    images: int
    cost: float
    worst: tuple[str, float]
    changed: Rate
    reversed: Rate
    alarms: Rate


class HeldOutMetrics(_Metrics):
    """A method on collections that it never saw.

    Attributes:
        images: that stand for themselves.
        unread: rows of the table without a logit.
        folds: the collections that each held out.
        areas: each generator, in each delivery, and in each content that has both classes.
        means: over them.
        pairs: photographs against what was made of them.
        detection: at fixed false-positive rates.
        collections: of reals.
        verdicts: of all images.
        deliveries: what each costs.
        aim: share of the reals of a collection never seen that may be called generated.
        estimate: how strict the rule is therefore, and what it does to folds that it is not set on.
        calibration: of the detector that is shipped, from all held-out images.
    """

    images: int
    unread: int
    folds: tuple[tuple[str, ...], ...]
    areas: tuple[GeneratorAuroc, ...]
    means: tuple[MeanAuroc, ...]
    pairs: tuple[PairAuroc, ...]
    detection: tuple[DetectionRate, ...]
    collections: tuple[CollectionRates, ...]
    verdicts: tuple[VerdictRates, ...]
    deliveries: tuple[PerturbationCost, ...]
    aim: float
    estimate: Estimate
    calibration: Calibration

    def mean(self, delivery: str, content: str = "") -> MeanAuroc | None:
        """Find the mean of a delivery and a content; None where it was not judged."""
        return next((one for one in self.means if (one.delivery, one.content) == (delivery, content)), None)

    def verdicts_of(self, delivery: str, content: str = "") -> VerdictRates:
        """Find the verdicts of a delivery and a content.

        Raises:
            SettingsError: it was not judged.
        """
        for one in self.verdicts:
            if (one.delivery, one.content) == (delivery, content):
                return one
        known = [(one.delivery, one.content) for one in self.verdicts]
        raise SettingsError(f"content {content!r} in delivery {delivery!r} was not judged; known are {known}")
