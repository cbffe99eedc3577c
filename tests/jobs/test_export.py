"""The command that exports: what it prints, its exit codes, and an end by SIGKILL in the middle of a shard."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.export import main
from tests.pictures import samples, write_shard
from tests.verdicts import verdicts_of

COUNT = 300


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The verdicts of a shard."""
    return verdicts_of(write_shard(tmp_path / "a.tar", samples(COUNT, different=3)), table=tmp_path / "table")


def test_a_killed_export_goes_on_where_it_was(
    table: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--table", str(table), "--images-per-shard", "2"]
    job = [sys.executable, "jobs/export.py", *asked, "--output", str(tmp_path / "out")]
    with subprocess.Popen(job, cwd=root, stderr=subprocess.DEVNULL) as killed:
        while killed.poll() is None and not (tmp_path / "out" / "shard-000003.tar").exists():
            time.sleep(0.001)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    begun = len(list((tmp_path / "out").glob("*.tar")))
    assert 4 <= begun < COUNT / 2
    assert main([*asked, "--output", str(tmp_path / "out"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["images"] == COUNT
    assert f"{COUNT} images selected, " in told.err and "of them done by an earlier run" in told.err
    assert main([*asked, "--output", str(tmp_path / "whole")]) == 0
    told = capsys.readouterr()
    assert f"{COUNT} images in {COUNT // 2} shards: {tmp_path / 'whole'}" in told.out
    assert f"exporting: {COUNT} of {COUNT} images" in told.err
    assert main([*asked, "--output", str(tmp_path / "whole")]) == 0
    assert "already complete, nothing to do" in capsys.readouterr().err
    own, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.tar")} for name in ("out", "whole")
    )
    assert own == whole
    assert not list((tmp_path / "out").glob(".*tmp*"))


def test_images_that_are_gone_are_told_and_no_failure(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--table", str(table), "--output", str(tmp_path / "one"), "--limit", "1"]) == 0
    told = capsys.readouterr().out
    assert "1 image in 1 shard: " in told and "every selected image is in exactly one shard\n" in told
    (tmp_path / "a.tar").unlink()
    assert main(["--table", str(table), "--output", str(tmp_path / "out"), "--limit", "3"]) == 0
    told = capsys.readouterr().out
    assert "0 images in 0 shards" in told and "3 images are empty, missing or changed since the scan" in told
    assert "every selected image is in exactly one shard or listed in missing.csv" in told
    assert len((tmp_path / "out" / "missing.csv").read_text().splitlines()) == 4


def test_what_cannot_be_done_is_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--table", str(table), "--output", str(tmp_path / "out")]
    assert main(["--table", str(tmp_path / "none"), *asked[2:]]) == 2
    assert main([*asked, "--labels", str(tmp_path / "none")]) == 2
    assert main([*asked, "--where", "verdikt = 'real'"]) == 2
    assert "the columns are" in capsys.readouterr().err
    assert main([*asked, "--where", "verdict = 3"]) == 2
    assert "Could not convert" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
