"""Fits find what made the data, and refuse what the sample cannot show."""

import numpy as np
import pytest
from scipy.stats import binom

from mole.errors import SettingsError
from mole.measuring.calibration_fit import (
    confident_threshold,
    fit_temperature,
    min_reals,
    reals_to_demonstrate,
    threshold_for,
)
from mole.measuring.rates import clopper_pearson, upper_bound


def test_a_fit_finds_the_temperature_and_the_bias_that_made_the_labels() -> None:
    chance = np.random.default_rng(0)
    logit_N = chance.normal(0, 4, 40_000)
    label_N = (chance.random(40_000) < 1 / (1 + np.exp(-(logit_N + 0.0) / 3))).astype(int)
    temperature, bias = fit_temperature(logit_N, label_N)
    assert temperature == pytest.approx(3, rel=0.05) and bias == pytest.approx(0, abs=0.15)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 generated of 5"):
        fit_temperature(np.zeros(5), np.zeros(5, int))


@pytest.mark.parametrize(("errors", "trials"), [(0, 3000), (3, 50), (50, 50), (1, 1000)])
def test_an_exact_interval_leaves_its_tails_outside(errors: int, trials: int) -> None:
    lower, upper = clopper_pearson(errors, trials)
    assert lower <= errors / trials <= upper
    assert errors == 0 or binom.sf(errors - 1, trials, lower) == pytest.approx(0.025, abs=1e-6)
    assert errors == trials or binom.cdf(errors, trials, upper) == pytest.approx(0.025, abs=1e-6)


def test_a_threshold_lets_no_more_than_the_wanted_share_of_real_images_pass() -> None:
    logit_N = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    threshold, (lower, upper) = threshold_for(logit_N, 0.01)
    assert (logit_N >= threshold).sum() == 10
    assert lower < 0.01 < upper


def test_a_rate_that_the_sample_cannot_show_is_refused_with_the_number_it_takes() -> None:
    with pytest.raises(SettingsError, match="at least 1,000 real images, got 999"):
        threshold_for(np.zeros(999), 0.001)


@pytest.mark.parametrize("rate", [0.1, 1e-2, 1e-3, 1e-4])
def test_as_many_reals_as_said_and_no_fewer_show_a_rate(rate: float) -> None:
    needed = min_reals(rate)
    assert 1 - 0.05 ** (1 / needed) <= rate < 1 - 0.05 ** (1 / (needed - 1))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(SettingsError, match=f"got {rate}"):
        min_reals(rate)


def test_a_rate_takes_as_many_reals_without_an_error_as_bring_the_upper_bound_down_to_it() -> None:
    for rate in (0.05, 0.01, 0.001):
        needed = min_reals(rate)
        assert upper_bound(0, needed) <= rate < upper_bound(0, needed - 1)
        assert reals_to_demonstrate(0, 10, rate) == needed


@pytest.mark.parametrize(("errors", "trials", "rate"), [(5, 1000, 0.01), (1, 200, 0.02), (3, 1000, 0.004)])
def test_so_many_reals_show_a_rate_if_errors_go_on_as_they_did(errors: int, trials: int, rate: float) -> None:
    needed = reals_to_demonstrate(errors, trials, rate)
    assert needed is not None and needed > trials
    assert upper_bound(int(np.ceil(errors / trials * needed)), needed) <= rate


def test_no_number_of_reals_shows_a_rate_that_their_own_share_has_reached() -> None:
    assert reals_to_demonstrate(10, 1000, 0.01) is None


def test_a_shown_threshold_leaves_the_upper_bound_within_the_rate_and_is_the_lowest_to_do_so() -> None:
    logit_N = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    threshold = confident_threshold(logit_N, 0.01)
    errors = int((logit_N >= threshold).sum())
    assert upper_bound(errors, 1000) <= 0.01 < upper_bound(errors + 1, 1000)


def test_a_shown_threshold_holds_on_other_images_of_the_same_kind_nineteen_times_in_twenty() -> None:
    draw, held = np.random.default_rng(3), 0
    for _ in range(400):
        threshold = confident_threshold(draw.normal(size=300).astype(np.float32), 0.02)
        held += bool((draw.normal(size=20_000) >= threshold).mean() <= 0.021)
    assert held / 400 >= 0.93


def test_too_few_reals_for_a_shown_threshold_are_refused_with_the_number_it_takes() -> None:
    with pytest.raises(SettingsError, match=r"at least 299 real images to be shown at 95 %, got 298"):
        confident_threshold(np.zeros(298, np.float32), 0.01)
