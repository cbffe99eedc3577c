"""Laws of the gate."""

import numpy as np
import pytest

from mole.calibration import Calibration
from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.gate import SURELY, Bounds, judge
from pipeline.tune.judging.judgement import figures
from pipeline.tune.judging.logits import OVERALL

CALIBRATION = Calibration(real_below=0.0, generated_above=3.0)
BOUNDS = Bounds()


def evaluation(separations: dict[str, float], *, alarms: int = 0, reals: int = 200) -> Evaluation:
    """Judge generators whose logits lie so far above those of the reals, some of which are called generated."""
    chance = np.random.default_rng(0)
    real_R = np.minimum(chance.normal(0, 1, reals), 2.9)
    real_R[:alarms] = 3.5
    rows = [
        figures(name, delivery, real_R, chance.normal(apart, 1, 100), calibration=CALIBRATION)
        for name, apart in separations.items()
        for delivery in ("shipped", "aligned")
    ]
    everyone = figures(OVERALL, "shipped", real_R, chance.normal(3, 1, 100), calibration=CALIBRATION)
    return Evaluation(
        model="m",
        digest="d",
        view="v",
        calibration=CALIBRATION,
        samples=reals + 100 * len(separations),
        excluded={},
        deliveries=("shipped", "aligned"),
        rows=tuple(rows),
        overall=(everyone,),
        reals=(),
        flips=(),
        routing={},
    )


def test_a_candidate_as_good_as_the_promoted_one_passes() -> None:
    same = evaluation({"old": 4.0, "new": 4.0})
    decision = judge(same, same, BOUNDS)
    assert decision.passed and decision.refusals == []
    assert len(decision.rows) == 2 * 3 + 1


def test_a_candidate_that_forgot_one_generator_is_refused_by_its_name_however_good_the_rest_is() -> None:
    decision = judge(evaluation({"old": 1.0, "new": 6.0}), evaluation({"old": 4.0, "new": 1.0}), BOUNDS)
    assert not decision.passed
    assert {row.what for row in decision.refusals} == {"old, shipped", "old, aligned"}
    assert "old, shipped: AUROC" in str(decision)


def test_a_drop_within_the_bound_holds_and_one_beyond_does_not() -> None:
    old, new = evaluation({"g": 2.0}), evaluation({"g": 1.9})
    drop = old.figures("g", "shipped").auroc - new.figures("g", "shipped").auroc
    assert drop > 0
    assert judge(new, old, Bounds(auroc_drop=drop + 1e-9, found_drop=1.0)).rows[0].holds
    assert not judge(new, old, Bounds(auroc_drop=drop - 1e-9, found_drop=1.0)).rows[0].holds


def test_more_false_positives_than_allowed_are_refused_once_the_sample_shows_them() -> None:
    clean = evaluation({"g": 9.0})
    assert judge(evaluation({"g": 9.0}, alarms=2), clean, BOUNDS).passed  # 1 % is what is allowed
    assert judge(evaluation({"g": 9.0}, alarms=4), clean, BOUNDS).passed  # 2 % of 200: the interval reaches below 1 %
    refused = judge(evaluation({"g": 9.0}, alarms=10), clean, BOUNDS).refusals
    assert [row.figure for row in refused] == [SURELY]
    assert judge(evaluation({"g": 9.0}, alarms=10), evaluation({"g": 9.0}, alarms=10), BOUNDS).passed


def test_the_first_of_a_registry_has_nothing_to_lose_but_must_hold_the_false_positives() -> None:
    assert judge(evaluation({"g": 0.5}), None, BOUNDS).passed
    assert not judge(evaluation({"g": 4.0}, alarms=40), None, BOUNDS).passed


@pytest.mark.parametrize("wrong", [{"auroc_drop": -0.1}, {"false_positives": 0.0}, {"found_drop": 2}])
def test_bounds_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"greater|less"):
        Bounds(**wrong)
