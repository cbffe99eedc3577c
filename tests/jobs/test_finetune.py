"""Laws of the door to a training."""

from pathlib import Path

import pytest

from jobs.finetune import main


def test_a_missing_manifest_ends_with_the_code_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--manifest", str(tmp_path / "m.csv"), "--output", str(tmp_path / "out"), "--tower", "t.safetensors"]
    assert main(flags) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "SettingsError: manifest" in told.err


def test_a_setting_out_of_bounds_ends_with_the_code_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--manifest", "m", "--output", "o", "--tower", "t", "--steps", "-1"]) == 2
    assert "-1" in capsys.readouterr().err


def test_a_missing_tower_ends_with_the_code_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.csv").write_text("path,label,generator,source\n")
    flags = ["--manifest", str(tmp_path / "m.csv"), "--output", str(tmp_path / "out"), "--tower", "none.safetensors"]
    assert main(flags) == 4
    assert "none.safetensors" in capsys.readouterr().err
