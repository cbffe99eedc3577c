"""Laws of the flow of evaluate; the command itself is run in tests/jobs/test_evaluate.py."""

from pathlib import Path

import pytest

from mole.errors import SettingsError, StorageError
from pipeline.storage import storage
from pipeline.tune.evaluation.benchmark import EvaluateSettings, json_beside, list_evaluated_samples, write
from pipeline.tune.evaluation.evaluation_result import Evaluation
from tests.judged import judge_here, labelled


def test_flags_become_settings() -> None:
    settings = EvaluateSettings.from_command_line(
        [
            "--samples",
            "a",
            "--samples",
            "b",
            "--perturbations",
            "jpeg-50,grid",
            "--max-per-source",
            "7",
            "--report",
            "x.html",
        ]
    )
    assert (settings.samples, settings.perturbations, settings.max_per_source) == (["a", "b"], ("jpeg-50", "grid"), 7)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--perturbations", "sepia"], "sepia"),
        (["--perturbations", "jpeg-900"], r"\[1, 100\]"),
        (["--report", "page.pdf"], "html"),
        (["--protocol", "mine"], "universal-fake-detect"),
        (["--colour", "red"], "colour"),
    ],
)
def test_a_flag_that_cannot_be_met_is_refused_before_anything_is_read(flags: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        EvaluateSettings.from_command_line(["--samples", "nowhere", *flags])


def test_the_layout_is_logged_and_each_source_capped(manifest: Path) -> None:
    told: list[str] = []
    settings = EvaluateSettings.from_command_line(["--samples", str(manifest), "--max-per-source", "2"])
    assert len(list_evaluated_samples(settings, told.append)) == 8
    assert "12 real, 12 fake" in told[0]


def test_the_figures_lie_beside_the_report(tiny: Path, tmp_path: Path) -> None:
    judged = judge_here(labelled(tmp_path), tiny)
    write(judged, "memory://reports/one.html")
    assert json_beside("memory://reports/one.html") == "memory://reports/one.json"
    back = Evaluation.model_validate_json(storage.read("memory://reports/one.json"))
    assert back == judged.evaluation
    assert storage.read("memory://reports/one.html").startswith(b"<!doctype html>")


def test_a_place_where_nothing_can_be_written_is_a_fault_of_the_store(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write(judge_here(labelled(tmp_path, each=2), tiny), str(tmp_path / "file" / "report.html"))
