"""Laws of the evaluation's flow."""

from pathlib import Path

import pytest

from mole.errors import ModelError, SettingsError
from pipeline.tune.judging.evaluate import demand_both, evaluate, spread
from pipeline.tune.judging.robustness import GRID
from tests.judged import DELIVERIES, judge_here, labelled


def test_an_evaluation_says_what_goes_on_and_what_it_leaves_out(local_ray: None, tiny: Path, tmp_path: Path) -> None:
    told: list[str] = []
    samples = labelled(tmp_path, each=3)
    found = evaluate(samples, str(tiny), DELIVERIES, told.append)
    here = judge_here(samples, tiny).evaluation
    assert found.excluded == here.excluded == {"missing": 1, "truncated": 1}
    assert found.figures("progan", "aligned").auroc == pytest.approx(here.figures("progan", "aligned").auroc, abs=0.15)
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
