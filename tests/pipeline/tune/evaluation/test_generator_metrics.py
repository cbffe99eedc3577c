"""Laws of the metrics of a generator."""

import numpy as np
import pytest

from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.metrics import auroc, average_precision
from pipeline.tune.evaluation.generator_metrics import (
    FALSE_POSITIVE_RATES,
    MIN_PART_IMAGES,
    PREVALENCES,
    GeneratorMetrics,
    measure_collections,
    measure_generator,
    measure_parts,
)
from pipeline.tune.evaluation.logits import Logits

READ = Calibration(temperature=2.0, bias=0.5, real_below=-1.0, generated_above=2.0)
DRAW = np.random.default_rng(0)
REALS, FAKES = DRAW.normal(-2, 1.5, 320), DRAW.normal(2, 1.5, 90)


@pytest.fixture(scope="module")
def row() -> GeneratorMetrics:
    """One generator's figures."""
    return measure_generator("painter", "shipped", REALS, FAKES, calibration=READ)


def test_the_figures_are_those_of_the_metrics(row: GeneratorMetrics) -> None:
    assert row.auroc == pytest.approx(auroc(REALS, FAKES))
    assert row.average_precision == pytest.approx(average_precision(REALS, FAKES))
    assert (row.reals, row.fakes) == (320, 90)
    assert row.calibration_error == row.reliability.error


def test_accuracies_are_at_a_probability_of_one_half_and_verdicts_at_the_threshold(row: GeneratorMetrics) -> None:
    assert row.real_accuracy.hits == int((REALS < -0.5).sum())
    assert row.fake_accuracy.hits == int((FAKES >= -0.5).sum())
    assert row.alarms.hits == int((REALS >= 2).sum())
    assert row.found.hits == int((FAKES >= 2).sum())


def test_rates_below_what_the_reals_can_show_are_refused_one_by_one(row: GeneratorMetrics) -> None:
    assert tuple(cell.allowed for cell in row.detection) == FALSE_POSITIVE_RATES
    assert [cell.found is not None for cell in row.detection] == [True, False, False]


def test_rarer_generated_images_mean_a_lower_precision(row: GeneratorMetrics) -> None:
    values = [cell.value for cell in row.precision]
    assert tuple(cell.prevalence for cell in row.precision) == PREVALENCES
    assert values[0] is not None and values[1] is not None and values[0] > values[1]


def test_figures_come_back_from_json_as_they_were(row: GeneratorMetrics) -> None:
    assert GeneratorMetrics.model_validate_json(row.model_dump_json()) == row


def test_one_class_alone_has_no_figures() -> None:
    with pytest.raises(SettingsError, match="320 real and 0 generated"):
        measure_generator("painter", "shipped", REALS, np.empty(0), calibration=READ)


def test_a_collection_of_reals_is_counted_in_each_perturbation_where_it_could_be_read() -> None:
    logits = {"shipped": np.array([3.0, 0.0, -3.0]), "jpeg-30": np.full(3, np.nan)}
    table = Logits(np.array(["photos"] * 3), np.zeros(3, int), logits, {})
    (row,) = measure_collections(table, ("shipped", "jpeg-30"), READ)
    assert (row.source, row.delivery, row.alarms.hits, row.unsure.hits, row.alarms.images) == (
        "photos",
        "shipped",
        1,
        1,
        3,
    )


def test_each_part_of_a_source_has_its_figures_and_small_ones_are_counted_together() -> None:
    names = ["flux"] * MIN_PART_IMAGES + ["kolors"] * 2 + ["pixart"] * 2
    logit_N = np.concatenate([np.zeros(3), np.full(MIN_PART_IMAGES, 3.0), np.full(4, 1.0)])
    source_N = np.array(["photos"] * 3 + ["models"] * len(names))
    label_N = np.repeat([0, 1], [3, len(names)])
    table = Logits(source_N, label_N, {"shipped": logit_N}, {}, part_N=np.array([""] * 3 + names))
    found = {row.part: (row.fakes, row.found.hits) for row in measure_parts(table, ("shipped",), READ)}
    assert found == {
        "flux": (MIN_PART_IMAGES, MIN_PART_IMAGES),
        f"2 of fewer than {MIN_PART_IMAGES} images each": (4, 0),
    }


def test_a_source_with_only_small_parts_is_reported_as_a_whole() -> None:
    table = Logits(
        np.array(["photos", "models", "models"]),
        np.array([0, 1, 1]),
        {"shipped": np.zeros(3)},
        {},
        part_N=np.array(["", "flux", "kolors"]),
    )
    assert measure_parts(table, ("shipped",), READ) == []
