"""Laws of the threshold rule."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from pipeline.tune.evaluation.held_out_logits import HeldOutLogits
from pipeline.tune.evaluation.threshold_rule import (
    TARGET_RATE,
    TRIED_FRACTIONS,
    UNSURE_SHARE,
    Estimate,
    HeldOutReals,
    calibrate,
    mean_rate,
    weighted_threshold,
)
from tests.heldout import PARTS as HELDOUT
from tests.heldout import Part, heldout

STANDARD_DEVIATION = 1.0
"""Of the means of drawn collections; within one, logits have the same."""


def middles(draw: np.random.Generator, collections: int, *, heavy: bool) -> NDArray[np.float64]:
    """Draw the mean logit of each collection; heavy tails are Student's with three degrees of freedom."""
    return -3 + STANDARD_DEVIATION * (draw.standard_t(3, collections) if heavy else draw.standard_normal(collections))


def world(seed: int, collections: int, *, heavy: bool = False) -> tuple[HeldOutReals, np.random.Generator]:
    """Draw collections of reals of several sizes in five folds."""
    draw = np.random.default_rng(seed)
    sizes = draw.choice([12, 30, 60, 130], collections)
    middle_C = middles(draw, collections, heavy=heavy)
    logit_R = np.concatenate([draw.normal(middle, 1, size) for middle, size in zip(middle_C, sizes, strict=True)])
    numbers = np.repeat(np.arange(collections), sizes)
    return HeldOutReals(logit_R[None], numbers.astype(str), numbers % 5), draw


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.1])
def test_no_more_than_the_share_reaches_the_lowest_threshold_and_one_lower_would_let_more(share: float) -> None:
    reals, _ = world(0, 12)
    logit_R = reals.logit_DR[0].astype(np.float32)
    threshold = weighted_threshold(logit_R, reals.name_R, share)
    assert mean_rate(logit_R >= threshold, reals.name_R) <= share
    lower = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    assert mean_rate(logit_R >= lower, reals.name_R) > share


def test_a_collection_weighs_the_same_whatever_its_size() -> None:
    name_R = np.repeat(["large", "small"], [1000, 10])
    logit_R = np.concatenate([np.zeros(1000), np.arange(10.0)])
    assert weighted_threshold(logit_R, name_R, 0.05) == pytest.approx(
        8, abs=1e-3
    )  # one of ten small ones: 5 % of two collections
    assert (logit_R >= weighted_threshold(logit_R, name_R, 0.05)).sum() == 1


def test_equal_logits_are_all_above_or_all_below() -> None:
    assert weighted_threshold(np.zeros(10), np.array(["a"] * 10), 0.5) > 0


def test_the_threshold_holds_in_the_worst_perturbation() -> None:
    reals, _ = world(1, 10)
    both = HeldOutReals(np.stack([reals.logit_DR[0], reals.logit_DR[0] + 2]), reals.name_R, reals.fold_R)
    assert both.threshold(0.02) == pytest.approx(reals.threshold(0.02) + 2, abs=1e-5)


def test_the_estimate_of_each_fold_looks_at_the_others_alone() -> None:
    reals, _ = world(2, 10)
    shifted = HeldOutReals(reals.logit_DR + 9 * (reals.fold_R == 0), reals.name_R, reals.fold_R)
    own = np.mean([name in set(reals.name_R[reals.fold_R == 0]) for name in np.unique(reals.name_R)])
    assert shifted.estimate(0.02).mean == pytest.approx(own, abs=0.01)  # all of fold 0 above, nothing else


def test_it_is_stricter_where_collections_differ_more() -> None:
    reals, _ = world(3, 20)
    chosen = reals.choose_share(TARGET_RATE)
    assert (
        chosen.share in {part * TARGET_RATE for part in TRIED_FRACTIONS} and chosen.mean + chosen.error <= TARGET_RATE
    )
    laxer = [part * TARGET_RATE for part in TRIED_FRACTIONS if part * TARGET_RATE > chosen.share]
    assert laxer and all(reals.estimate(one).high > TARGET_RATE for one in laxer)
    logit_R = reals.logit_DR[0]
    middle_R = np.array([logit_R[reals.name_R == name].mean() for name in reals.name_R])
    assert (
        HeldOutReals((logit_R - middle_R)[None], reals.name_R, reals.fold_R).choose_share(TARGET_RATE).share
        > chosen.share
    )


def test_where_no_share_meets_the_aim_none_may_lie_above_and_the_estimate_says_so() -> None:
    reals, _ = world(4, 10)
    shifted = HeldOutReals(reals.logit_DR + 9 * (reals.fold_R == 0), reals.name_R, reals.fold_R)
    chosen = shifted.choose_share(TARGET_RATE)
    assert chosen.share == 0 and chosen.mean > TARGET_RATE


def test_one_fold_tells_nothing_of_another_so_none_may_lie_above() -> None:
    reals, _ = world(5, 10)
    assert reals.select(reals.fold_R == 0).choose_share(TARGET_RATE) == Estimate(0, 1, 0)


@pytest.mark.parametrize(("heavy", "times"), [(False, 1.0), (True, 1.5)])
def test_in_drawn_worlds_new_collections_come_near_the_aim_and_nearer_than_by_equal_weights_alone(
    heavy: bool, times: float
) -> None:
    found = []
    for seed in range(50):
        reals, draw = world(seed, 20, heavy=heavy)
        middle_C = middles(draw, 4000, heavy=heavy)
        bounds = reals.threshold(reals.choose_share(TARGET_RATE).share), reals.threshold(TARGET_RATE)
        found.append([float(norm.sf(bound - middle_C).mean()) for bound in bounds])
    ours, plain = np.mean(found, axis=0)
    assert ours <= times * TARGET_RATE < plain, (ours, plain)


def test_the_thresholds_of_some_folds_hear_nothing_of_the_rest() -> None:
    before = calibrate(HeldOutLogits.of(heldout(), "mole"), [0, 1])
    other = [Part(**{**vars(part), "mean": 5}) if part.fold == 2 else part for part in HELDOUT]
    assert calibrate(HeldOutLogits.of(heldout(*other), "mole"), [0, 1]) == before
    assert calibrate(HeldOutLogits.of(heldout(*other), "mole"), [0, 1, 2]) != before


def test_a_calibration_names_its_collections_and_keeps_its_words_in_order() -> None:
    held = HeldOutLogits.of(heldout(), "mole")
    made = calibrate(held, held.folds)
    assert made.collection == "cameras, few-a, few-b, paintings, phones, web" and made.reals == 247
    assert made.real_below <= made.generated_above
    reals = HeldOutReals.of(held, held.folds)
    for logit_R in reals.logit_DR:
        assert mean_rate(logit_R >= made.generated_above, reals.name_R) <= TARGET_RATE
        assert mean_rate(logit_R >= max(made.real_below, reals.threshold(UNSURE_SHARE)), reals.name_R) <= UNSURE_SHARE


def test_probabilities_are_even_where_the_classes_are() -> None:
    held = HeldOutLogits.of(heldout(), "mole")
    made = calibrate(held, held.folds)
    means = [
        np.mean(
            [made.probability(held.logits[name][held.of_class(label, name)]).mean() for name in held.main_deliveries]
        )
        for label in (0, 1)
    ]
    assert sum(means) == pytest.approx(1, abs=0.05)
