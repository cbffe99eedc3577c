"""Laws of the metrics log."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.tune.training.metrics_log import epoch_line, logging_epochs, scalars
from pipeline.tune.training.task import INTERPOLATION_EPOCH


def epoch(number: int, **more: Any) -> dict[str, Any]:
    """The metrics of an epoch, as a worker writes them."""
    told = {
        "epoch": number,
        "stage": "all",
        "step": 10 * number,
        "losses": [0.7, 0.5],
        "loss": 0.6,
        "load": [0.25, 0.75],
        "gate_entropy": 0.56,
        "validation": {"easy": 0.99, "hard": 0.71},
        "best": 0.85,
        "stale": 0,
        "images_per_second": 4.0,
    }
    return told | more


def leave(run: Path, told: dict[str, Any]) -> None:
    (run / "metrics").mkdir(parents=True, exist_ok=True)
    (run / "metrics" / f"{told['epoch']:05}.json").write_text(json.dumps(told))


def test_each_epoch_is_logged_once_and_epochs_of_an_earlier_run_are_not_logged_again(tmp_path: Path) -> None:
    leave(tmp_path, epoch(1))
    said: list[str] = []
    with logging_epochs(str(tmp_path), said.append):
        leave(tmp_path, epoch(2))
        end = time.monotonic() + 30
        while not said and time.monotonic() < end:
            time.sleep(0.05)
        leave(tmp_path, epoch(3))
    assert [words.partition(",")[0] for words in said] == ["all: epoch 2", "all: epoch 3"]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_line_names_the_generator_that_is_worst() -> None:
    assert "lowest 0.710 (hard)" in epoch_line(epoch(1)) and "loss 0.6000" in epoch_line(epoch(1))
    assert "warm-up" in epoch_line(epoch(1, loss=None, losses=[]))


def test_the_interpolation_of_adapters_is_logged_too() -> None:
    assert "0.5: 0.910" in epoch_line({"epoch": INTERPOLATION_EPOCH, "shares": {"0.0": 0.9, "0.5": 0.91}})


def test_every_number_of_an_epoch_has_a_name() -> None:
    assert scalars(epoch(1)) == {
        "loss": 0.6,
        "gate_entropy": 0.56,
        "images_per_second": 4.0,
        "load/expert_0": 0.25,
        "load/expert_1": 0.75,
        "validation_auroc/easy": 0.99,
        "validation_auroc/hard": 0.71,
    }
    assert "loss" not in scalars(epoch(1, loss=None))


def test_where_mlflow_is_installed_it_has_the_figures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    with logging_epochs(str(tmp_path / "run"), list[str]().append):
        leave(tmp_path / "run", epoch(1))
    [run] = mlflow.search_runs(output_format="list")
    assert (run.info.run_name, run.info.status, run.data.metrics["loss"]) == ("run", "FINISHED", 0.6)
