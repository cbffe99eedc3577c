"""Laws of the evaluation's flow."""

from pathlib import Path

import numpy as np
import pytest

from mole.errors import ModelError, SettingsError
from pipeline.tune.judging.evaluate import demand_both, evaluate, judge, spread
from pipeline.tune.judging.robustness import GRID
from pipeline.tune.judging.scoring import Runner
from tests.judged import DELIVERIES, judge_here, labelled


def test_ray_gives_what_the_steps_give_sample_by_sample_and_what_is_left_out_is_said(
    local_ray: None, tiny: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    samples = labelled(tmp_path, each=3)
    found = judge(samples, str(tiny), DELIVERIES, told.append, runner=Runner(device="cpu", batch_size=4))
    here = judge_here(samples, tiny)
    for column in ("place", "delivery", "status"):
        assert found.scored[column].to_pylist() == here.scored[column].to_pylist()
    one, other = (judged.scored["logit"].to_numpy(zero_copy_only=False) for judged in (found, here))
    assert np.allclose(one, other, atol=0.3, equal_nan=True)
    assert found.evaluation.excluded == here.evaluation.excluded == {"missing": 1, "truncated": 1}
    one, other = (judged.evaluation.figures("progan", "aligned").auroc for judged in (found, here))
    assert one == pytest.approx(other, abs=0.15)
    assert any("1 of 17 images are truncated" in line for line in told)


def test_as_shipped_comes_first_and_a_grid_is_written_out_once() -> None:
    assert spread(("aligned", "aligned")) == ("shipped", "aligned")
    assert spread(("grid", "jpeg-50")) == ("shipped", *GRID)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused(tmp_path: Path, label: int) -> None:
    only = [sample for sample in labelled(tmp_path, each=1) if sample.label == label]
    with pytest.raises(SettingsError, match="both classes"):
        demand_both(only)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        evaluate(labelled(tmp_path, each=1), str(tmp_path / "none"), ("shipped",), list[str]().append)
