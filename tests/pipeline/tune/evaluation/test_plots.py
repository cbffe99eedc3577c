"""Laws of the plots."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from mole.measuring.calibration import Calibration
from mole.measuring.metrics import reliability
from pipeline.tune.evaluation import plots

DRAW = np.random.default_rng(0)
REALS, FAKES = DRAW.normal(-2, 1.5, 500), DRAW.normal(2, 1.5, 90)
NAMES = ["painter", "$dollar$", "_private", "<b>bold</b>", "a name that is longer than what fits at the side"]


def words(svg: str) -> str:
    """Read an SVG's text; it parses as XML or the test fails."""
    assert svg.startswith("<svg")
    return " ".join(ET.fromstring(svg).itertext())


@pytest.mark.parametrize("draw", [plots.roc, plots.precision_recall])
def test_a_curve_names_every_generator_as_it_is_written(draw: object) -> None:
    assert callable(draw)
    told = words(draw(dict.fromkeys(NAMES, (REALS, FAKES))))
    assert all(name in told for name in NAMES[:4])
    assert "a name that is longer tha…" in told


def test_a_curve_of_a_hundred_thousand_images_stays_small() -> None:
    many = DRAW.normal(-1, 1, 100_000), DRAW.normal(1, 1, 100_000)
    assert len(plots.roc({"painter": many})) < 60_000


def test_a_map_writes_each_number_and_leaves_what_is_not_there_empty() -> None:
    told = words(plots.matrix_plot(np.array([[0.5, np.nan]]), ["row"], ["one", "two"], low=0, high=1, map_name="Blues"))
    assert "0.50" in told and "nan" not in told and "two" in told


def test_a_histogram_counts_its_images_and_shows_both_thresholds() -> None:
    told = words(plots.histogram(REALS, FAKES, Calibration(real_below=-1, generated_above=1)))
    assert "real (500)" in told and "generated (90)" in told and "generated above" in told


def test_a_reliability_diagram_names_its_perturbations() -> None:
    curve = reliability(DRAW.random(50), np.repeat([0, 1], 25))
    assert "aligned" in words(plots.calibration({"shipped": curve, "aligned": curve}))


def test_all_logits_alike_are_drawn_too() -> None:
    same = np.zeros(4)
    assert words(plots.histogram(same, same, Calibration()))
    assert words(plots.roc({"painter": (same, same)}))


def test_the_same_figures_give_the_same_bytes() -> None:
    assert plots.roc({"painter": (REALS, FAKES)}) == plots.roc({"painter": (REALS, FAKES)})
