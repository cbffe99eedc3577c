"""Laws of the estimated share of generated images."""

import numpy as np
import pytest

from mole.measuring.rates import clopper_pearson
from pipeline.review.analysis import prevalence
from pipeline.review.analysis.prevalence import estimate, precision
from pipeline.review.analysis.rates import Kind, Measurement, rate


def measured(alarms: tuple[int, int], found: tuple[int, int] | None) -> Measurement:
    return Measurement("some", Kind.OTHER, rate(*alarms), None if found is None else rate(*found))


def test_a_model_that_is_never_wrong_leaves_the_share_that_it_calls_generated() -> None:
    told = estimate(30, 200, measured((0, 10**7), (10**7, 10**7)))
    assert told.value == pytest.approx(0.15) and told.separates
    assert (told.low, told.high) == pytest.approx(clopper_pearson(30, 200), abs=2e-3)


def test_the_errors_of_a_model_are_undone() -> None:
    # 1,000 images, 300 generated: 0.8 of those and 0.1 of the others are called so
    told = estimate(240 + 70, 1000, measured((100, 1000), (800, 1000)))
    assert told.value == pytest.approx(0.3) and told.low < 0.3 < told.high


def test_rates_of_few_images_widen_the_interval() -> None:
    many, few = (estimate(310, 1000, measured((hits, 10 * hits), (8 * hits, 10 * hits))) for hits in (10_000, 2))
    assert few.low < many.low < many.high < few.high


def test_an_estimate_stays_within_its_bounds() -> None:
    assert estimate(0, 500, measured((50, 500), (400, 500))).value == 0
    assert estimate(500, 500, measured((50, 500), (400, 500))).value == 1


@pytest.mark.parametrize(("alarms", "found"), [((50, 100), (50, 100)), ((60, 100), (40, 100)), ((1, 4), (3, 4))])
def test_rates_that_do_not_separate_tell_nothing(alarms: tuple[int, int], found: tuple[int, int]) -> None:
    told = estimate(300, 1000, measured(alarms, found))
    assert not told.separates and (told.low, told.high) == (0, 1)


def test_without_the_rate_of_detection_only_a_lower_bound_is_told() -> None:
    told = estimate(300, 1000, measured((10, 1000), None))
    assert told.value is None and told.high == 1
    assert 0.25 < told.low < (0.3 - 0.01) / (1 - 0.01)  # as if every generated image were found
    assert estimate(10, 1000, measured((10, 1000), None)).low == 0


def test_the_interval_holds_the_truth_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prevalence, "DRAWS", 5_000)
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        generated = rng.binomial(300, 0.2)
        called = rng.binomial(generated, 0.6) + rng.binomial(300 - generated, 0.05)
        known = measured((int(rng.binomial(120, 0.05)), 120), (int(rng.binomial(100, 0.6)), 100))
        told = estimate(int(called), 300, known)
        held += told.low <= 0.2 <= told.high
    assert held >= 185  # 190 are expected of an interval that is no wider than it must be


def test_precision_follows_bayes_and_is_only_bounded_above_where_detection_is_unknown() -> None:
    told = precision(0.1, measured((50, 1000), (500, 1000)))
    assert told.value == pytest.approx(0.05 / (0.05 + 0.045)) and told.low < 0.526 < told.high
    bounded = precision(0.1, measured((50, 1000), None))
    assert bounded.value is None and bounded.low == 0 and told.high < bounded.high < 1


def test_counts_that_no_prevalence_gives_are_told_from_those_that_one_does() -> None:
    known = Measurement("c", Kind.OTHER, rate(20, 1000), rate(200, 1000))
    assert [estimate(called, 1000, known).fits for called in (0, 20, 100, 200, 400)] == [False, True, True, True, False]
    alone = Measurement("c", Kind.OTHER, rate(20, 1000), None)
    assert [estimate(called, 1000, alone).fits for called in (0, 400)] == [False, True]
