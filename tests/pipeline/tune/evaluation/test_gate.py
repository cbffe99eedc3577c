"""Laws of the gate."""

import numpy as np
import pytest

from mole.measuring.calibration import Calibration
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.gate import FALSE_POSITIVE_BOUND, Bounds, compare
from pipeline.tune.evaluation.generator_metrics import measure_generator
from pipeline.tune.evaluation.logits import OVERALL

CALIBRATION = Calibration(real_below=0.0, generated_above=3.0)
BOUNDS = Bounds()


def evaluation(separations: dict[str, float], *, alarms: int = 0, reals: int = 200, fakes: int = 100) -> Evaluation:
    """Judge generators whose logits lie so far above those of the reals, some of which are called generated."""
    chance = np.random.default_rng(0)
    real_R = np.minimum(chance.normal(0, 1, reals), 2.9)
    real_R[:alarms] = 3.5
    rows = [
        measure_generator(name, delivery, real_R, chance.normal(apart, 1, fakes), calibration=CALIBRATION)
        for name, apart in separations.items()
        for delivery in ("shipped", "aligned")
    ]
    everyone = measure_generator(OVERALL, "shipped", real_R, chance.normal(3, 1, 100), calibration=CALIBRATION)
    return Evaluation(
        model="m",
        digest="d",
        view="v",
        calibration=CALIBRATION,
        samples=reals + fakes * len(separations),
        excluded={},
        deliveries=("shipped", "aligned"),
        rows=tuple(rows),
        overall=(everyone,),
        reals=(),
        flips=(),
        routing={},
    )


def test_a_candidate_as_good_as_the_promoted_one_passes() -> None:
    same = evaluation({"old": 4.0, "new": 4.0}, reals=300)
    decision = compare(same, same, BOUNDS)
    assert decision.passed and decision.refusals == []
    assert len(decision.rows) == 2 * 3 + 1


def test_a_candidate_that_forgot_one_generator_is_refused_by_its_name_however_good_the_rest_is() -> None:
    old, new = evaluation({"old": 4.0, "new": 1.0}, reals=300), evaluation({"old": 1.0, "new": 6.0}, reals=300)
    decision = compare(new, old, BOUNDS)
    assert not decision.passed
    assert {row.what for row in decision.refusals} == {"old, original", "old, aligned"}
    assert "old, original: AUROC" in str(decision)


def test_a_drop_within_the_bound_holds_and_one_beyond_does_not() -> None:
    old, new = evaluation({"g": 2.0}), evaluation({"g": 1.9})
    drop = old.metrics("g", "shipped").auroc - new.metrics("g", "shipped").auroc
    assert drop > 0
    assert compare(new, old, Bounds(auroc_drop=drop + 1e-9, found_drop=1.0)).rows[0].holds
    assert not compare(new, old, Bounds(auroc_drop=drop - 1e-9, found_drop=1.0)).rows[0].holds


def test_false_positives_hold_where_the_upper_end_of_their_interval_does() -> None:
    clean = evaluation({"g": 9.0}, reals=1000)
    assert compare(evaluation({"g": 9.0}, alarms=4, reals=1000), clean, BOUNDS).passed  # at most 0.91 %
    refused = compare(evaluation({"g": 9.0}, alarms=5, reals=1000), clean, BOUNDS)  # 0.5 %, but perhaps 1.05 %
    assert [row.figure for row in refused.refusals] == [FALSE_POSITIVE_BOUND]
    assert refused.refusals[0].note == "upper bound 0.0105; at this share 1,182 real images are needed"


def test_a_sample_without_an_error_that_is_too_small_is_refused_with_the_number_it_takes() -> None:
    small = evaluation({"g": 9.0}, reals=298)
    assert "299 real images are needed" in compare(small, small, BOUNDS).refusals[0].note
    enough = evaluation({"g": 9.0}, reals=299)
    assert compare(enough, enough, BOUNDS).passed


def test_a_share_above_the_bound_is_refused_although_what_is_promoted_has_it_too() -> None:
    same = evaluation({"g": 9.0}, alarms=10)
    refused = compare(same, same, BOUNDS).refusals
    assert [row.figure for row in refused] == [FALSE_POSITIVE_BOUND] and "the measured share alone" in refused[0].note
    assert compare(same, same, Bounds(false_positives=0.09)).passed


def test_a_first_version_that_guesses_does_not_replace_the_base_it_came_from() -> None:
    decision = compare(
        evaluation({"g": 0.0}), evaluation({"g": 3.0}), Bounds(false_positives=0.05), against="its base b"
    )
    assert {row.figure for row in decision.refusals} == {"AUROC", "called generated"}
    assert str(decision).startswith("compared with its base b, 3 of 4 bounds fail")


def test_a_comparison_with_nothing_says_so_and_binds_the_false_positives_alone() -> None:
    decision = compare(evaluation({"g": 0.5}), None, Bounds(false_positives=0.05))
    assert decision.passed and str(decision) == "compared with nothing, 1 of 1 bounds hold"
    assert not compare(evaluation({"g": 4.0}, alarms=40), None, BOUNDS).passed


def test_a_generator_of_too_few_images_to_show_a_drop_is_said_so() -> None:
    few = evaluation({"g": 4.0}, fakes=8, reals=1000)
    noted = {row.figure: row.note for row in compare(few, few, BOUNDS).rows if row.what == "g, original"}
    assert noted == {
        "AUROC": "few: 1 of 8 images is 0.125",
        "called generated": "few: 1 of 8 images is 0.125",
    }
    assert "(3 on too few images to show a drop of that size)" in str(compare(few, few, BOUNDS))


@pytest.mark.parametrize("wrong", [{"auroc_drop": -0.1}, {"false_positives": 0.0}, {"found_drop": 2}])
def test_bounds_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"greater|less"):
        Bounds(**wrong)
