"""Laws of the figures."""

import numpy as np
import pytest

from mole.fitting import threshold_for
from mole.metrics import auroc
from pipeline.tune.data.samples import Sample
from pipeline.tune.study.figures import UNSURE_SHARE, Held, alarms, by_photographs, by_source, calibrate

REALS, FAKES = 150, 100


@pytest.fixture
def held() -> Held:
    """Two folds, a real and a generated source in each, and a source that no fold holds out."""
    draw = np.random.default_rng(0)
    samples, folds, shipped, aligned = [], [], [], []
    plan = (
        ("photos", 0, 0, -2),
        ("holiday", 0, 1, -1),
        ("painter", 1, 0, 2),
        ("dreamer", 1, 1, 0),
        ("extra", 1, -1, np.nan),
    )
    for source, label, fold, mean in plan:
        count = FAKES if label else REALS
        samples += [Sample(f"{source}-{number}", label, source) for number in range(count)]
        folds += [fold] * count
        shipped.append(draw.normal(mean, 1, count))
        aligned.append(draw.normal(mean / 2, 1, count))
    as_shipped, as_aligned = (np.concatenate(parts).astype(np.float32) for parts in (shipped, aligned))
    return Held(samples, np.array(folds), as_shipped, as_aligned)


def test_each_held_out_source_has_its_figure_and_no_other(held: Held) -> None:
    assert [figure.source for figure in by_source(held)] == ["dreamer", "painter", "holiday", "photos"]


def test_a_source_is_compared_with_the_other_class_of_its_own_fold(held: Held) -> None:
    figure = next(figure for figure in by_source(held) if figure.source == "dreamer")
    names = np.array([sample.source for sample in held.samples])
    wanted = auroc(held.shipped_N[names == "holiday"], held.shipped_N[names == "dreamer"])
    assert figure.auroc_shipped == pytest.approx(wanted)
    assert (figure.images, figure.against) == (FAKES, REALS)


def test_shipped_and_aligned_are_told_apart(held: Held) -> None:
    figure = next(figure for figure in by_source(held) if figure.source == "painter")
    assert figure.auroc_shipped > figure.auroc_aligned > 0.5


def test_the_threshold_keeps_the_wanted_rate_on_held_out_reals(held: Held) -> None:
    calibration = calibrate(held, np.empty(0, np.float32), 0.01)
    reals = held.shipped_N[held.reals()]
    assert float((reals >= calibration.generated_above).mean()) <= 0.01
    assert float((reals >= threshold_for(reals, UNSURE_SHARE)[0]).mean()) <= UNSURE_SHARE
    assert (
        calibration.real_below == calibration.balance
    )  # a tenth of these reals lie where the evidence is for generated
    assert calibration.real_below <= calibration.generated_above
    assert calibration.reals == len(reals) and calibration.collection == "holiday, photos"


def test_the_final_detectors_own_reals_can_only_raise_the_threshold(held: Held) -> None:
    alone = calibrate(held, np.empty(0, np.float32), 0.01)
    assert calibrate(held, np.full(120, 9.0, np.float32), 0.01).generated_above > 9.0
    assert calibrate(held, np.full(120, -9.0, np.float32), 0.01).generated_above == alone.generated_above


def test_nothing_held_out_leaves_the_calibration_as_it_is(held: Held) -> None:
    none = Held(held.samples, np.full(len(held.samples), -1), held.shipped_N, held.aligned_N)
    calibration = calibrate(none, np.empty(0, np.float32), 0.01)
    assert (calibration.temperature, calibration.reals) == (1.0, 0)


def test_probabilities_are_even_where_the_classes_are(held: Held) -> None:
    calibration = calibrate(held, np.empty(0, np.float32), 0.01)
    reals, fakes = held.shipped_N[held.reals()], held.shipped_N[held.fakes()]
    means = calibration.probability(reals).mean(), 1 - calibration.probability(fakes).mean()
    assert means[0] == pytest.approx(means[1], abs=0.03)


def test_alarms_are_counted_for_each_source_and_over_all_reals(held: Held) -> None:
    rates = alarms(held, 0.0)
    assert rates.keys() == {"photos", "holiday", "painter", "dreamer", "all real"}
    assert rates["all real"].hits == rates["photos"].hits + rates["holiday"].hits
    assert rates["all real"].images == 2 * REALS


def test_photographs_are_measured_against_their_own_reconstructions_where_held_out() -> None:
    samples = [Sample(str(number // 2), number % 2, "photos", str(number // 2)) for number in range(40)]
    samples += [Sample("never", label, "extra", "never") for label in (0, 1)]
    logit_M = np.array([*(float(number % 2) + number // 2 / 100 for number in range(40)), np.nan, np.nan], np.float32)
    [figure] = by_photographs(samples, logit_M)
    assert (figure.source, figure.pairs, figure.auroc) == ("photos", 20, 1.0)
    [chance] = by_photographs(samples, np.where(np.isnan(logit_M), np.nan, np.float32(0)))
    assert chance.auroc == 0.5
