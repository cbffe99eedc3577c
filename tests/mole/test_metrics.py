"""Laws of the metrics."""

import numpy as np
import pytest

from mole.errors import SettingsError
from mole.metrics import auroc, average_precision, share_above

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
