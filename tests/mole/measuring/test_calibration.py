"""Calibration reads logits and never changes their order; thresholds part them into three."""

from pathlib import Path

import numpy as np
import pytest

from mole.config import describe
from mole.measuring.calibration import PREVALENCE, Calibration


def test_a_probability_is_the_logistic_function_of_the_shifted_and_cooled_logit() -> None:
    logit_N = np.array([-1000.0, -3.0, 0.0, 2.0, 1000.0], np.float32)
    expected = 1 / (1 + np.exp(-np.clip((logit_N.astype(float) + 0.5) / 2.0, -700, 700)))
    np.testing.assert_allclose(Calibration(temperature=2.0, bias=0.5).probability(logit_N), expected, atol=1e-12)


def test_a_verdict_is_real_below_unsure_between_and_generated_above() -> None:
    verdict = Calibration(real_below=-1, generated_above=2).verdict(np.array([-1.01, -1.0, 1.99, 2.0], np.float32))
    assert verdict.tolist() == ["real", "unsure", "unsure", "generated"]


def test_calibration_moves_no_verdict() -> None:
    logit_N = np.linspace(-5, 5, 50)
    plain, warm = (
        Calibration(real_below=-1, generated_above=1),
        Calibration(temperature=9, bias=4, real_below=-1, generated_above=1),
    )
    assert plain.verdict(logit_N).tolist() == warm.verdict(logit_N).tolist()


@pytest.mark.parametrize(
    "values", [{"real_below": 1.0, "generated_above": 0.0}, {"temperature": 0.0}, {"temprature": 1.0}]
)
def test_a_calibration_that_means_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="real_below|temp"):
        Calibration.model_validate(values)


LOGITS = np.linspace(-12, 12, 4_801)


def test_the_prevalence_shifts_the_log_odds_and_even_odds_shift_nothing() -> None:
    read = Calibration(temperature=2.0, bias=0.5)
    odds_N = [chance / (1 - chance) for chance in (read.probability(LOGITS), read.probability(LOGITS, 0.02))]
    np.testing.assert_allclose(odds_N[1] / odds_N[0], 0.02 / 0.98, rtol=1e-9)
    np.testing.assert_array_equal(read.probability(LOGITS), read.probability(LOGITS, 0.5))


def test_at_the_balance_the_probability_is_the_prevalence_whatever_that_is() -> None:
    read = Calibration(temperature=0.7, bias=1.3)
    for prevalence in (0.001, 0.1, 0.5, 0.9):
        assert read.probability(np.array([read.balance]), prevalence)[0] == pytest.approx(prevalence)


@pytest.mark.parametrize("prevalence", [0.001, PREVALENCE, 0.5])
def test_of_the_shipped_detector_no_verdict_contradicts_its_probability(root: Path, prevalence: float) -> None:
    read = describe(root / "mole" / "embedded").calibration
    chance_N, verdict_N = read.probability(LOGITS, prevalence), read.verdict(LOGITS)
    assert (np.diff(chance_N) >= 0).all()
    assert chance_N[verdict_N == "real"].max() < prevalence <= 0.5
    assert chance_N[verdict_N == "unsure"].max() < chance_N[verdict_N == "generated"].min()
    assert chance_N[verdict_N == "real"].max() < chance_N[verdict_N == "unsure"].min()


def test_as_a_scan_says_it_generated_is_likely_and_unsure_is_not_certain(root: Path) -> None:
    read = describe(root / "mole" / "embedded").calibration
    bounds = read.probability(np.array([read.real_below, read.generated_above]), PREVALENCE)
    assert bounds.round(2).tolist() == [0.1, 0.77]  # docs/calibration.md has this table


def test_a_collection_without_a_name_is_not_written_and_changes_no_digest() -> None:
    assert "collection" not in Calibration().model_dump()
    named = Calibration(collection="own photographs")
    assert Calibration.model_validate_json(named.model_dump_json()) == named


def test_thresholds_as_probabilities_divide_images_as_the_logits_do() -> None:
    calibration = Calibration(temperature=2.0, bias=0.5, real_below=-1.0, generated_above=3.0)
    low, high = calibration.thresholds(0.1)
    assert [low, high] == pytest.approx([calibration.probability(np.array([x]), 0.1)[0] for x in (-1.0, 3.0)])
    logits = np.linspace(-5, 7, 101)
    chances, verdicts = calibration.probability(logits, 0.1), calibration.verdict(logits)
    assert all((chance >= high) == (verdict == "generated") for chance, verdict in zip(chances, verdicts, strict=True))
    assert all((chance < low) == (verdict == "real") for chance, verdict in zip(chances, verdicts, strict=True))
