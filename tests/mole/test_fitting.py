"""Fits find what made the data, and refuse what the sample cannot show."""

import numpy as np
import pytest
from scipy.stats import binom

from mole.errors import SettingsError
from mole.fitting import clopper_pearson, fit_temperature, reals_for, threshold_for


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
    needed = reals_for(rate)
    assert 1 - 0.05 ** (1 / needed) <= rate < 1 - 0.05 ** (1 / (needed - 1))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(SettingsError, match=f"got {rate}"):
        reals_for(rate)
