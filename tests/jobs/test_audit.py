"""Laws of the door to the audit."""

import json
from pathlib import Path

import pytest

from jobs.audit import main
from pipeline.tune.data.audit import Audit
from tests.pictures import picture


@pytest.fixture(scope="module")
def unfair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reals as JPEG and fakes as PNG, and one file that is neither."""
    folder = tmp_path_factory.mktemp("unfair")
    for name, form in (("0_real", "jpeg"), ("1_fake", "png")):
        (folder / "flux" / name).mkdir(parents=True)
        for number in range(12):
            seed = number + 100 * (form == "png")
            (folder / "flux" / name / f"{number}.{form}").write_bytes(picture(seed, form=form))
    (folder / "flux/0_real/cut.jpg").write_bytes(picture(1)[:300])
    return folder


def test_a_leak_is_reported_with_its_column_and_its_own_exit_code(
    local_ray: None, unfair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--samples", str(unfair)]) == 1
    told = capsys.readouterr()
    assert "<generator>/{0_real,1_fake}: 13 real, 12 fake" in told.err
    assert "not fair" in told.out and "format 1.00" in told.out
    assert "left out: 1 truncated" in told.out and "cut.jpg" in told.out
    assert "jpeg 100%" in told.out and "png 100%" in told.out


def test_json_is_the_whole_audit_and_nothing_else(
    local_ray: None, unfair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--samples", str(unfair), "--json", "--max-leak", "1"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read.pop("verdict")["leaks"] is False
    assert Audit.model_validate(read).auc == 1.0


def test_an_unknown_layout_ends_with_the_code_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(1))
    assert main(["--samples", str(tmp_path)]) == 2
    assert "the layout of" in capsys.readouterr().err


def test_a_missing_flag_ends_with_the_code_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--samples is required" in capsys.readouterr().err
