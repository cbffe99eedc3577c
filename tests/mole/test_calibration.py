"""Calibration reads logits and never changes their order; thresholds part them into three."""

import numpy as np
import pytest

from mole.calibration import Calibration


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
