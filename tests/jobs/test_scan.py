"""The command itself, in processes of its own: what it prints, its exit codes, and what a killed run leaves behind."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
import ray

from jobs.scan import main
from mole.errors import StorageError
from pipeline.scan.table import lease
from tests.pictures import faulty, samples, write_shard

Whole = tuple[list[str], Path, str]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards, one of them with every fault, large enough that a run can be killed within."""
    folder = tmp_path_factory.mktemp("shards")
    for number in range(4):
        write_shard(folder / f"{number}.tar", samples(250, start=250 * number, side=500, different=50))
    write_shard(folder / "4.tar", faulty())
    return folder


@pytest.fixture(scope="module")
def whole(shards: Path, tiny: Path, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A scan of all the shards that nothing stopped: its flags, its output, and what it printed."""
    output = tmp_path_factory.mktemp("whole") / "out"
    flags = ["--source", f"{shards}/{{0..4}}.tar", "--model", str(tiny), "--rows-per-file", "16"]
    with redirect_stdout(io.StringIO()) as told:
        assert main([*flags, "--output", str(output)]) == 0
    return flags, output, told.getvalue()


def command(*arguments: object) -> list[str]:
    """Write the command as a user does."""
    return [sys.executable, "jobs/scan.py", *map(str, arguments)]


def scan(root: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=root,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def verdicts(output: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Read a table: place and content of every row, and what it got."""
    rows = (
        pads.dataset(output, format="parquet", partitioning="hive", exclude_invalid_files=True).to_table().to_pylist()
    )
    found = {
        (row["unit"], row["index"]): (row["key"], row["content_hash"], row["status"], row["verdict"]) for row in rows
    }
    assert len(found) == len(rows), "a row stands there twice"
    return found


def parts(output: Path) -> int:
    """Count the files of a table."""
    return len(list(output.rglob("*.parquet")))


def holder(output: Path) -> int | None:
    """Tell which process holds an output."""
    try:
        held = lease.read(str(output))
    except StorageError:  # renewed at this moment
        return None
    return None if held is None else held.process


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scan_killed_and_then_ended_at_random_points_ends_with_the_rows_of_one_that_was_not(
    root: Path, whole: Whole, tmp_path: Path
) -> None:
    arguments, unbroken, _ = whole
    output, chance = tmp_path / "killed", random.Random(0)
    shared = ("--ray-address", ray.get_runtime_context().gcs_address)  # outlives its drivers; one's own does not
    for blow, where in ((signal.SIGKILL, ()), (signal.SIGKILL, shared), (signal.SIGTERM, shared)):
        run = subprocess.Popen(command(*arguments, "--output", output, *where), cwd=root, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 200
        # workers of the run before may write until this one has the lease
        while run.poll() is None and holder(output) != run.pid and time.monotonic() < end:
            time.sleep(0.02)
        begun, more = parts(output), 1 + chance.randrange(9)
        while run.poll() is None and parts(output) < begun + more and time.monotonic() < end:
            time.sleep(0.02)
        assert run.poll() is None, "the run ended before it could be killed"
        run.send_signal(blow)
        run.wait()
    assert run.returncode == 143 and not (output / "_lease.json").exists()
    last = scan(root, *arguments, "--output", output, "--json")
    assert last.returncode == 0, last.stderr
    assert "images/s" in last.stderr and "Traceback" not in last.stderr
    summary = json.loads(last.stdout)  # nothing else stands there
    assert (summary["law"], summary["images"]) == ("kept", 1008)
    assert 0 < summary["written"] < 1008
    assert verdicts(output) == verdicts(unbroken)


def test_what_is_told_of_a_finished_scan_names_the_law_in_words_and_in_json(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, output, told = whole
    assert "law: 1,008 images in 5 units, each image exactly one row: kept" in told
    assert "1,008 rows written" in told
    assert main([*flags, "--output", str(output), "--json"]) == 0
    again = capsys.readouterr()
    summary = json.loads(again.out)
    assert (summary["images"], summary["statuses"]["truncated"], summary["written"]) == (1008, 1, 0)
    assert "Traceback" not in again.err


def test_each_kind_of_failure_has_its_exit_code(
    shards: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard, output = shards / "4.tar", tmp_path / "out"
    (tmp_path / "file").write_text("no folder")
    codes = {
        ("--source", tmp_path / "none", "--output", output, "--model", tiny): 2,
        ("--source", shard, "--output", output, "--model", tiny, "--batch-size", 0): 2,
        ("--source", shard, "--output", tmp_path / "file" / "out", "--model", tiny): 3,
        ("--source", shard, "--output", output, "--model", tmp_path): 4,
    }
    for arguments, code in codes.items():
        assert main([str(argument) for argument in arguments]) == code
        told = capsys.readouterr()
        assert told.err.strip() and not told.out and "Traceback" not in told.err


def test_a_flag_that_nobody_knows_is_a_setting_that_is_refused(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", "a.tar", "--output", "out", "--modell", str(tiny)]) == 2
    assert "there is no flag --modell; did you mean --model?" in capsys.readouterr().err


def test_a_setting_may_stand_in_the_environment_or_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scan.toml").write_text('source = ["a.tar"]\ndevice = "nowhere"\n')
    monkeypatch.setenv("MOLE_SCAN_OUTPUT", str(tmp_path / "out"))
    assert main(["--config", str(tmp_path / "scan.toml")]) == 2
    told = capsys.readouterr().err
    assert "device in '" in told and "must be auto, cpu or cuda, got 'nowhere'" in told and "--output" not in told


def test_help_names_every_flag_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    for word in ("--source", "--output", "--carry", "--json", "--config", "--all-files", "exit codes"):
        assert word in told
