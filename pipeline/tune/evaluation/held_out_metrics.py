"""Held-out metrics: the results of one method on collections it was not trained on, computed by `crossvalidation`."""

from pydantic import BaseModel, ConfigDict

from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.rates import Rate
from pipeline.tune.evaluation.held_out_logits import MIN_IMAGES
from pipeline.tune.evaluation.threshold_rule import Estimate


class _Metrics(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorAuroc(_Metrics):
    """One generator under one perturbation, against the real images that the same fold held out.

    Attributes:
        generator: its name, or that of a pool of small generators.
        delivery: name of the perturbation.
        content: content of the images of both classes; empty for all.
        fakes: number of its images.
        reals: number of real images it is compared with.
        auroc: probability that one of its images scores above a real one.
        interval: 95 %, Newcombe's.
        precision: average precision.
        found: share of its images called generated at the thresholds of the other folds.
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
        """Whether it has enough images to enter means and minima."""
        return min(self.fakes, self.reals) >= MIN_IMAGES


class MeanAuroc(_Metrics):
    """Means over the generators under one perturbation and of one content, with equal weights.

    Attributes:
        delivery: name of the perturbation.
        content: content of the images of both classes; empty for all.
        generators: number of generators with enough images.
        auroc: mean.
        lowest: the lowest AUROC.
        worst: names of the worst generators, the worst first.
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
    """Photographs of one source against the images made from these photographs.

    Attributes:
        source: of the photographs.
        artefact: what the photographs were passed through.
        delivery: name of the perturbation.
        pairs: number of pairs.
        auroc: probability that a made image scores above a photograph.
        interval: 95 %, Newcombe's.
    """

    source: str
    artefact: str
    delivery: str
    pairs: int
    auroc: float
    interval: tuple[float, float]


class DetectionRate(_Metrics):
    """Share of generated images found at a fixed false-positive rate.

    Attributes:
        delivery: name of the perturbation.
        allowed: the rate that thresholds were set for.
        found: generated images at or above a threshold set on the real images of the *other* folds.
        alarms: real images at or above it.
        same_set: generated images at or above one threshold set on the real images of all folds, which is biased
            upwards.
    """

    delivery: str
    allowed: float
    found: Rate
    alarms: Rate
    same_set: Rate


class CollectionRates(_Metrics):
    """One collection of real images at the thresholds of the other folds.

    Attributes:
        collection: its name, or that of a pool of small collections.
        delivery: name of the perturbation.
        alarms: called generated.
        unsure: called unsure.
    """

    collection: str
    delivery: str
    alarms: Rate
    unsure: Rate


class VerdictRates(_Metrics):
    """Verdicts on all images of a content under one perturbation, at the thresholds of the other folds.

    Attributes:
        delivery: name of the perturbation.
        content: content of the images; empty for all.
        alarms: real images called generated; the interval assumes independent images, which those of a collection are
            not.
        mean_alarms: that share, as a mean over collections.
        above_aim: collections with a share above the aim.
        unsure_reals: real images called unsure.
        found: generated images called generated.
        unsure_fakes: generated images called unsure.
        missed: generated images called real.
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
    """The effect of a perturbation, on images that were scored both with and without it.

    Attributes:
        delivery: name of the perturbation.
        images: number of images of both classes.
        cost: drop of the mean AUROC over generators.
        worst: the generator with the largest drop, and that drop.
        changed: images whose verdict changes.
        reversed: images whose verdict changes between real and generated.
        alarms: real images called generated.
    """

    delivery: str
    images: int
    cost: float
    worst: tuple[str, float]
    changed: Rate
    reversed: Rate
    alarms: Rate


class HeldOutMetrics(_Metrics):
    """The metrics of a method on collections it was not trained on.

    Attributes:
        images: number of images, without those made from photographs.
        unread: number of rows without a logit.
        folds: the collections that each fold held out.
        areas: AUROC of each generator, under each perturbation and for each content that has both classes.
        means: over the generators.
        pairs: photographs against images made from them.
        detection: detection rates at fixed false-positive rates.
        collections: of real images.
        verdicts: on all images.
        deliveries: effect of each perturbation.
        aim: target false-positive rate on an unseen collection.
        estimate: the resulting share for the threshold rule, and the rates it gives on folds it was not set on.
        calibration: of the shipped detector, from all held-out images.
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
        """Return the means under a perturbation and for a content; None if there are none."""
        return next((one for one in self.means if (one.delivery, one.content) == (delivery, content)), None)

    def verdicts_of(self, delivery: str, content: str = "") -> VerdictRates:
        """Return the verdicts under a perturbation and for a content.

        Raises:
            SettingsError: there are none.
        """
        for one in self.verdicts:
            if (one.delivery, one.content) == (delivery, content):
                return one
        known = [(one.delivery, one.content) for one in self.verdicts]
        raise SettingsError(f"content {content!r} was not evaluated under {delivery!r}; known are {known}")
