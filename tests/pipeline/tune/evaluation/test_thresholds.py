"""Laws of the thresholds: they never contradict the evidence, and carry the name of their collection."""

from pathlib import Path

import numpy as np
import pytest

from mole.config import describe
from mole.measuring.calibration import Calibration
from pipeline.tune.evaluation.thresholds import UNNAMED, calibration_at, measured_on, threshold_text
from tests.tiny import tiny_checkpoint

REALS = np.random.default_rng(0).normal(0, 1, 400)
LOGITS = np.linspace(-12, 12, 4_801)


@pytest.mark.parametrize("bounds", [(-1.0, 2.0), (1.5, 2.0), (-4.0, -2.0), (0.4, 0.4)])
@pytest.mark.parametrize("bias", [-0.5, 0.0, 0.5])
def test_a_verdict_of_real_lowers_the_probability_below_the_prevalence_and_generated_raises_it(
    bounds: tuple[float, float], bias: float
) -> None:
    read = calibration_at(REALS, bounds, (1.7, bias), collection="photographs")
    verdict_N = read.verdict(LOGITS)
    for prevalence in (0.01, 0.1, 0.5):
        chance_N = read.probability(LOGITS, prevalence)
        assert chance_N[verdict_N == "real"].max() < prevalence
        assert chance_N[verdict_N == "generated"].min() >= prevalence - 1e-12
        assert chance_N[verdict_N != "generated"].max() < chance_N[verdict_N == "generated"].min()


def test_bounds_that_agree_with_the_evidence_stay_and_the_rate_is_that_at_the_threshold() -> None:
    read = calibration_at(REALS, (-1.0, 2.0), (1.0, 0.0), collection="photographs")
    assert (read.real_below, read.generated_above, read.reals) == (-1.0, 2.0, 400)
    assert read.false_positive_rate == (REALS >= 2.0).mean()
    low, high = read.false_positive_interval or (1.0, 0.0)
    assert low < (REALS >= 2.0).mean() < high


def test_thresholds_are_described_with_interval_images_and_collection() -> None:
    words = threshold_text(calibration_at(REALS, (-1.0, 2.0), (1.0, 0.0), collection="my archive"))
    assert "400 real images" in words and "my archive" in words and "other images may differ considerably" in words
    assert UNNAMED in threshold_text(
        Calibration(false_positive_rate=0.01, false_positive_interval=(0.002, 0.03), reals=300)
    )


def test_what_thresholds_were_measured_on_is_named_of_the_shipped_detector_too(root: Path, tmp_path: Path) -> None:
    assert measured_on(describe(root / "mole" / "embedded")) == (
        "bsds500, clothing-phones, coco, drone-brighton, exif-samples, gcompris, gimp-help, imagenet-sample, "
        "imagenet256-png, immich-assets, lsun-bedroom256-png, ngp-fox, openclipart, opencv-samples, openimages, "
        "renpy-art, set5-set14, ukui-wallpapers, urban100, wesnoth-art"
    )
    assert measured_on(describe(tiny_checkpoint(tmp_path / "tiny"))) == UNNAMED
