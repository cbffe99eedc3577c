"""Laws of the door to packing."""

from pathlib import Path

import pytest

from jobs.pack import main
from mole.errors import SettingsError
from pipeline.tune.packing import PackSettings


def test_a_missing_manifest_ends_with_the_code_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", "t", "--output", "o", "--manifest", str(tmp_path / "m.csv")]) == 2
    assert "error: manifest" in capsys.readouterr().err


def test_a_held_out_source_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.csv").write_text("path,label,generator,source\na.png,real,photo,holiday\n")
    assert main(["--source", "t", "--output", "o", "--manifest", str(tmp_path / "m.csv")]) == 2
    assert "'coco' is not among ['holiday']" in capsys.readouterr().err


def test_a_missing_flag_ends_with_the_code_of_settings() -> None:
    with pytest.raises(SettingsError, match="--output is required"):
        PackSettings.from_command_line(["--source", "t"])
    assert main(["--source", "t"]) == 2


def test_the_defaults_are_those_of_the_shipped_tower() -> None:
    flags = PackSettings.from_command_line(["--source", "t", "--output", "o", "--manifest", "m"])
    assert (flags.images, flags.max_bytes, flags.held_out) == (128, 49_500_000, "coco")
    assert flags.reads == ()


@pytest.mark.parametrize(
    ("reads", "words"),
    [("8,6", "--reads must be in ascending order"), ("0,6", "--reads"), ("6,6", "must be in ascending order")],
)
def test_reads_that_do_not_rise_are_refused(reads: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        PackSettings.from_command_line(["--source", "t", "--output", "o", "--manifest", "m", "--reads", reads])


def test_reads_stand_in_one_flag_with_commas() -> None:
    flags = PackSettings.from_command_line(["--source", "t", "--output", "o", "--manifest", "m", "--reads", "6,8,10"])
    assert flags.reads == (6, 8, 10)
