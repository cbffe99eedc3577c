"""Laws of scoring on Ray; its results are compared with single steps in test_evaluate.py."""

from pathlib import Path

import pyarrow as pa
import pytest

from mole.errors import CompletenessError, ModelError, SettingsError
from pipeline.runtime import cluster
from pipeline.tune.evaluation.sample_scoring import Runner, in_order, score
from pipeline.tune.evaluation.view_scorer import SCORED
from tests.judged import labelled


def test_an_unknown_perturbation_is_refused_before_anything_starts(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="sepia"):
        score(labelled(tmp_path, each=1), str(tiny), ("sepia",))


def test_a_lost_or_doubled_row_breaks_the_law() -> None:
    row = {"place": 0, "delivery": "shipped", "status": "ok", "detail": None, "logit": 0.0, "gates": []}
    for rows in ([], [row, row]):
        with pytest.raises(CompletenessError, match=f"gave {len(rows)} rows"):
            in_order(pa.Table.from_pylist(rows, SCORED), 1, ("shipped",))


def test_a_damaged_model_is_an_error_of_the_model(local_ray: None, tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "tower.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError), cluster.unwrapped_errors():
        score(labelled(tmp_path, each=1), str(broken), ("shipped",), runner=Runner(device="cpu"))
