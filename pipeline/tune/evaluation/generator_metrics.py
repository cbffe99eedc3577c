"""Generator metrics: one generator, or one collection of real images, under one perturbation.

Legend: N images, R real ones, G generated ones.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.metrics import (
    Detection,
    Reliability,
    auroc,
    auroc_interval,
    average_precision,
    brier,
    detection_at,
    reliability,
)
from mole.measuring.rates import Precision, Rate, precision_at, rate_of, share_above
from pipeline.tune.evaluation.logits import Logits

FALSE_POSITIVE_RATES = (1e-2, 1e-3, 1e-4)
"""False-positive rates at which detection rates are measured."""
PREVALENCES = (0.01, 0.001)
"""Shares of generated images for which precision is estimated."""
MIN_PART_IMAGES = 5
"""Images that a part needs for a row of its own."""


class GeneratorMetrics(BaseModel):
    """One generator under one perturbation, against its real images.

    Attributes:
        generator: its source, or `OVERALL`.
        delivery: name of the perturbation.
        reals: number of real images: those of the same source if it has some, otherwise all.
        fakes: number of generated images.
        auroc: probability that a generated image scores above a real one.
        auroc_interval: 95 %, Newcombe's.
        average_precision: on these images.
        real_accuracy: real images with a probability below 0.5.
        fake_accuracy: generated images with a probability of 0.5 or more.
        alarms: real images called `generated`, at the shipped threshold.
        found: generated images called `generated`, at the shipped threshold.
        detection: detection rates at fixed false-positive rates, with thresholds set on these real images.
        reliability: reliability curve of the probabilities.
        calibration_error: expected calibration error.
        brier: Brier score of the probabilities.
        precision: at the shipped threshold, for rare generated images.
        reconstruction: whether its images are photographs of these samples passed through an autoencoder; they are
            compared with those photographs and are not part of any mean over generators.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: str
    delivery: str
    reals: int
    fakes: int
    auroc: float
    auroc_interval: tuple[float, float]
    average_precision: float
    real_accuracy: Rate
    fake_accuracy: Rate
    alarms: Rate
    found: Rate
    detection: tuple[Detection, ...]
    reliability: Reliability
    calibration_error: float
    brier: float
    precision: tuple[Precision, ...]
    reconstruction: bool = False


class PartMetrics(BaseModel):
    """One of several generators or classes of a source, under one perturbation.

    Attributes:
        source: the source.
        part: its name, or the number of parts pooled because each has few images.
        delivery: name of the perturbation.
        fakes: number of its images.
        auroc: against the real images of the source.
        auroc_interval: 95 %, Newcombe's.
        found: its images called `generated`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    part: str
    delivery: str
    fakes: int
    auroc: float
    auroc_interval: tuple[float, float]
    found: Rate


class RealsMetrics(BaseModel):
    """One collection of real images under one perturbation.

    Attributes:
        source: its name.
        delivery: name of the perturbation.
        alarms: images called `generated`.
        unsure: images called `unsure`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    delivery: str
    alarms: Rate
    unsure: Rate


def measure_generator(
    generator: str, delivery: str, real_R: FloatArray, fake_G: FloatArray, *, calibration: Calibration
) -> GeneratorMetrics:
    """Measure one generator under one perturbation.

    Args:
        generator: its source.
        delivery: name of the perturbation.
        real_R: logits of the real images it is compared with.
        fake_G: logits of its images.
        calibration: temperature, bias and thresholds.

    Raises:
        SettingsError: one of the classes is empty.
    """
    area = auroc(real_R, fake_G)
    chance_R, chance_G = calibration.probability(real_R), calibration.probability(fake_G)
    chance_N, label_N = np.concatenate([chance_R, chance_G]), np.repeat([0, 1], [len(real_R), len(fake_G)])
    alarms, found = (share_above(logits, calibration.generated_above) for logits in (real_R, fake_G))
    curve = reliability(chance_N, label_N)
    return GeneratorMetrics(
        generator=generator,
        delivery=delivery,
        reals=len(real_R),
        fakes=len(fake_G),
        auroc=area,
        auroc_interval=auroc_interval(area, len(real_R), len(fake_G)),
        average_precision=average_precision(real_R, fake_G),
        real_accuracy=rate_of(chance_R < 0.5),
        fake_accuracy=rate_of(chance_G >= 0.5),
        alarms=alarms,
        found=found,
        detection=tuple(detection_at(real_R, fake_G, allowed) for allowed in FALSE_POSITIVE_RATES),
        reliability=curve,
        calibration_error=curve.error,
        brier=brier(chance_N, label_N),
        precision=tuple(precision_at(prevalence, found, alarms) for prevalence in PREVALENCES),
    )


def measure_parts(table: Logits, perturbations: Sequence[str], calibration: Calibration) -> list[PartMetrics]:
    """Measure each part of the sources that have several; parts with few images are pooled."""
    found = []
    for source in table.generators:
        counts = table.parts(source)
        few = [name for name, images in counts.items() if images < MIN_PART_IMAGES]
        named = [(name or "unnamed", [name]) for name, images in counts.items() if images >= MIN_PART_IMAGES]
        named += [(f"{len(few)} of fewer than {MIN_PART_IMAGES} images each", few)] if few and named else []
        for title, names in named:
            for delivery in perturbations:
                real_R, fake_G = table.against(source, delivery)[0], table.part(source, names, delivery)
                if len(real_R) and len(fake_G):
                    found.append(_part((source, title, delivery), real_R, fake_G, calibration))
    return found


def _part(names: tuple[str, str, str], real_R: FloatArray, fake_G: FloatArray, calibration: Calibration) -> PartMetrics:
    source, part, delivery = names
    area = auroc(real_R, fake_G)
    return PartMetrics(
        source=source,
        part=part,
        delivery=delivery,
        fakes=len(fake_G),
        auroc=area,
        auroc_interval=auroc_interval(area, len(real_R), len(fake_G)),
        found=share_above(fake_G, calibration.generated_above),
    )


def measure_collections(table: Logits, perturbations: Sequence[str], calibration: Calibration) -> list[RealsMetrics]:
    """Count the verdicts on each collection of real images under each perturbation."""
    return [
        RealsMetrics(
            source=source,
            delivery=delivery,
            alarms=share_above(logit_R, calibration.generated_above),
            unsure=rate_of(calibration.verdict(logit_R) == "unsure"),
        )
        for source in table.collections
        for delivery in perturbations
        if len(logit_R := table.reals(source, delivery))
    ]
