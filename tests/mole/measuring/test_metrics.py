"""Laws of the metrics."""

import numpy as np
import pytest
from scipy.stats import norm

from mole.errors import SettingsError
from mole.measuring.metrics import auroc, auroc_interval, average_precision, brier, detection_at, reliability
from mole.measuring.rates import Rate, precision_at, share_above

REAL = np.array([-2.0, -1.0, 0.5], np.float32)
FAKE = np.array([0.0, 1.0, 3.0, 4.0], np.float32)


def pairwise(real: np.ndarray, fake: np.ndarray) -> float:
    return float(np.mean([(f > r) + 0.5 * (f == r) for f in fake for r in real]))


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auroc(REAL, FAKE) == pytest.approx(pairwise(REAL, FAKE))


def test_auroc_counts_a_tie_as_a_half() -> None:
    assert auroc(np.zeros(3, np.float32), np.zeros(5, np.float32)) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_agrees_with_the_pairs_on_random_logits_with_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    real, fake = draw.integers(-3, 3, 17).astype(np.float32), draw.integers(-2, 4, 11).astype(np.float32)
    assert auroc(real, fake) == pytest.approx(pairwise(real, fake))


def test_swapping_the_classes_turns_auroc_round() -> None:
    assert auroc(REAL, FAKE) == pytest.approx(1 - auroc(FAKE, REAL))


def test_average_precision_of_a_perfect_order_is_one() -> None:
    assert average_precision(REAL - 10, FAKE) == pytest.approx(1.0)


def test_average_precision_is_the_mean_precision_at_each_generated_image() -> None:
    ranked = sorted([(x, 1) for x in FAKE] + [(x, 0) for x in REAL], reverse=True)
    precisions = [sum(y for _, y in ranked[: n + 1]) / (n + 1) for n, (_, label) in enumerate(ranked) if label]
    assert average_precision(REAL, FAKE) == pytest.approx(np.mean(precisions))


def test_average_precision_of_one_shared_logit_is_the_share_of_generated_images() -> None:
    assert average_precision(np.zeros(3, np.float32), np.zeros(1, np.float32)) == pytest.approx(0.25)


def test_a_rate_holds_its_own_share_within_its_interval() -> None:
    rate = share_above(REAL, 0.5)
    assert (rate.hits, rate.images) == (1, 3)
    assert rate.low < rate.share < rate.high


def test_no_hit_leaves_the_rule_of_three_as_bound() -> None:
    rate = share_above(np.zeros(300, np.float32), 1.0)
    assert rate.low == 0.0
    assert 3 / 300 < rate.high < 4 / 300


@pytest.mark.parametrize("measure", [auroc, average_precision])
def test_one_class_alone_is_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(SettingsError, match="3 real and 0 generated"):
        measure(REAL, np.empty(0, np.float32))


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="got 0"):
        share_above(np.empty(0, np.float32), 0.0)


def test_an_area_lies_within_its_interval() -> None:
    for area in (0.0, 0.01, 0.5, 0.93, 1.0):
        low, high = auroc_interval(area, 40, 25)
        assert 0 <= low <= area <= high <= 1
        assert high - low > 0.02


def test_a_perfect_order_of_few_images_is_no_certainty() -> None:
    assert auroc_interval(1.0, 12, 12)[0] < 0.9 < auroc_interval(1.0, 500, 500)[0]


def test_the_interval_of_an_area_holds_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    truth, held = float(norm.cdf(1.5 / np.sqrt(2))), 0
    for _ in range(400):
        real, fake = draw.normal(0, 1, 40), draw.normal(1.5, 1, 30)
        low, high = auroc_interval(auroc(real, fake), 40, 30)
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.99


def test_detection_is_refused_where_the_reals_cannot_show_the_rate() -> None:
    cell = detection_at(np.zeros(2994), np.ones(5), 1e-3)
    assert (cell.needed, cell.found, cell.threshold) == (2995, None, None)


def test_detection_holds_the_rate_it_was_asked_for() -> None:
    draw = np.random.default_rng(1)
    cell = detection_at(draw.normal(0, 1, 3000), draw.normal(4, 1, 200), 1e-3)
    assert cell.alarms is not None and cell.found is not None
    assert cell.alarms.share <= 1e-3
    assert 0.7 < cell.found.share < 0.95


def test_precision_follows_from_both_rates_and_the_prevalence() -> None:
    precision = precision_at(0.01, Rate(85, 100, 0.85, 0.8, 0.9), Rate(1, 100, 0.01, 0.005, 0.02))
    assert precision.value is not None and precision.value == pytest.approx(0.4619, abs=1e-4)
    assert precision.low < precision.value < precision.high


def test_precision_of_nothing_called_is_none_and_its_lower_bound_knows_no_miracle() -> None:
    precision = precision_at(0.001, Rate(0, 10, 0.0, 0.0, 0.31), Rate(0, 10, 0.0, 0.0, 0.31))
    assert (precision.value, precision.low, precision.high) == (None, 0.0, 1.0)


def test_true_probabilities_have_no_calibration_error_and_certain_wrong_ones_have_all_of_it() -> None:
    draw = np.random.default_rng(2)
    chance = draw.random(40_000)
    labels = (draw.random(40_000) < chance).astype(int)
    assert reliability(chance, labels).error < 0.01
    assert reliability(1.0 - labels, labels).error == pytest.approx(1.0)


def test_reliability_weighs_both_classes_alike_however_many_there_are() -> None:
    curve = reliability(np.full(101, 0.5), np.repeat([0, 1], [100, 1]))
    assert curve.observed == pytest.approx((0.5,))
    assert curve.images == (101,) and curve.error == pytest.approx(0.0)


def test_brier_is_a_quarter_for_a_shrug_and_nothing_for_the_truth() -> None:
    labels = np.repeat([0, 1], [9, 3])
    assert brier(np.full(12, 0.5), labels) == pytest.approx(0.25)
    assert brier(labels.astype(float), labels) == pytest.approx(0.0)


def test_probabilities_of_one_class_alone_are_refused() -> None:
    with pytest.raises(SettingsError, match="4 real and 0 generated"):
        reliability(np.zeros(4), np.zeros(4, int))
