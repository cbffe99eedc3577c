"""Laws of the door to reconstruction."""

import json
from pathlib import Path

import pytest

from jobs import audit
from jobs.reconstruct import main
from tests.pictures import picture


def photographs(folder: Path) -> list[str]:
    """Write two photographs and a file that is none; the flags that name them."""
    (folder / "0_real").mkdir(parents=True)
    for number in range(2):
        (folder / f"0_real/{number}.jpg").write_bytes(picture(number))
    (folder / "0_real/page.jpg").write_bytes(b"<html>")
    return ["--samples", str(folder), "--output", str(folder.parent / "pairs"), "--max-side", "64"]


def test_faults_are_named_with_their_own_code_and_pairs_are_made_once_and_are_samples_of_a_fair_set(
    local_ray: None, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*photographs(tmp_path / "photos"), "--autoencoder", str(shared / "weights")]
    assert main(flags) == 1
    told = capsys.readouterr()
    assert "page.jpg: not_an_image" in told.err
    assert "2 pairs, 2 of them new, 1 photographs without a pair" in told.out
    (tmp_path / "photos/0_real/page.jpg").unlink()
    assert main([*flags, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["pairs"], summary["made"], summary["faults"]) == (2, 0, {})
    assert Path(summary["table"]).is_file()
    assert audit.main(["--samples", str(tmp_path / "pairs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 4


def test_an_autoencoder_that_is_none_ends_with_the_code_of_models(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*photographs(tmp_path / "photos"), "--autoencoder", str(tmp_path)]) == 4
    assert "error: autoencoder" in capsys.readouterr().err


def test_a_missing_flag_ends_with_the_code_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--samples", "a"]) == 2
    assert "--output is required" in capsys.readouterr().err
