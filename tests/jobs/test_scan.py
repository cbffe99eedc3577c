"""The scan command in processes of its own: its output, its exit codes, and what a killed run leaves behind."""

import http.server
import io
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pyiceberg.catalog
import pytest
import ray
from pyiceberg.utils.config import Config

from jobs import console
from jobs.scan import main
from mole.errors import StorageError
from pipeline.scan.table import lease
from tests.declaring import GRAPH, texts
from tests.pictures import faulty, picture, samples, write_shard
from tests.tiny import tiny_checkpoint

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


def test_what_is_told_of_a_finished_scan_is_complete_in_words_and_in_json(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, output, told = whole
    assert "completeness check passed: 1,008 images in 5 shards and files, exactly one row each" in told
    assert "law" not in told and "no file declares a generator or a camera" in told
    assert re.search(r"^generated +\d+  a probability from 0\.1\d\d up *$", told, re.MULTILINE)
    assert re.search(r"^truncated +1  no verdict *$", told, re.MULTILINE)
    assert (
        f"table: {output}\npage: file://{output}/report.html\nlist: {output}/suspicious.csv (0 suspicious images)\n"
        in told
    )
    assert f"look: python jobs/browse.py {output}\n" in told
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "1,008 images" in page and "it runs still" not in page
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
        ("--source", shard, "--output", tmp_path / "file" / "out", "--model", tiny): 2,
        ("--source", shard, "--output", "/dev/null/out", "--model", tiny): 3,
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


def lines(told: str) -> dict[str, str]:
    """Read the lines of a summary that begin with a name."""
    return dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)


@pytest.mark.parametrize("source", ["none/", "empty/", "*.jpg", "photos.txt"])
def test_a_source_with_a_typo_leaves_no_folder_of_its_name(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    assert console.main(["scan", source]) == 2
    assert f"--source '{source}'" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos.txt"]


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector on the tiny one's tower that calls every picture generated."""
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "alarmed", adapters=1)


def test_a_folder_is_a_whole_command_and_its_suspicious_images_are_named_with_a_reason(
    local_ray: None,
    tiny: Path,
    alarmed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    desk = tmp_path / "desk"
    (desk / "sub").mkdir(parents=True)
    for number in range(12):
        (desk / "sub" / f"{number}.jpg").write_bytes(picture(number))
    (desk / "sub" / "made\x1b[31m.png").write_bytes(texts({"prompt": GRAPH}))
    (desk / "notes.txt").write_text("no image")
    monkeypatch.chdir(desk)
    flags = ["scan", ".", "--model", str(alarmed), "--shadow", str(tiny), "--max-images"]
    assert console.main([*flags, "5"]) == 0
    part = capsys.readouterr()
    assert "the verdicts go into the folder desk-verdicts (--output names another)" in part.err
    assert "not complete: --max-images ended this run; 8 of 13 shards and files, 8 images, are left; run" in part.out
    [record] = (desk / "desk-verdicts" / "_runs").glob("*.json")
    summary = json.loads(record.read_text())
    assert (summary["exit_code"], summary["summary"]["stopped"], summary["settings"]["limit"]) == (0, "--max-images", 5)

    assert console.main([*flags, "50"]) == 0
    told = capsys.readouterr().out
    assert "completeness check passed: 13 images in 13 shards and files, exactly one row each" in told
    assert "skipped, not named like an image: 1 file (" in told, "its own output is not counted"
    assert "declared by the files themselves: 1 names a generator" in told
    assert re.search(
        r"^challenger \w{12}: generated \d+, unsure \d+, real \d+; it agrees on \d+ of the 13 images",
        told,
        re.MULTILINE,
    )
    assert lines(told)["look"] == "mole-scan browse desk-verdicts" and "\x1b" not in told

    assert console.main([*flags, "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["law"], found["stopped"], found["units_left"], found["images_left"]) == ("kept", None, 0, 0)
    assert 0 < found["thresholds"][0] < found["thresholds"][1] < 1
    assert found["challenger"]["both"] == sum(found["challenger"]["verdicts"].values()) == 13
    first, *rest = found["suspicion"]["first"]
    assert first["reason"].startswith("its file declares ComfyUI dream.safetensors")
    assert f"\n{first['key']}" not in told and r"sub/made\x1b[31m.png" in told
    assert {suspect["verdict"] for suspect in rest} <= {"generated"}
    chances = [suspect["probability"] for suspect in rest]
    assert chances == sorted(chances, reverse=True) and found["suspicion"]["listed"] == found["verdicts"][
        "generated"
    ] + (first["verdict"] != "generated")


class Slow(http.server.BaseHTTPRequestHandler):
    """A web server whose every image takes a moment, so that thousands take long and cost nothing."""

    body = picture(1)

    def do_GET(self) -> None:
        """Answer with the one image."""
        time.sleep(0.5)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def slow() -> Iterator[str]:
    """The address of such a server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_run_ends_by_itself_within_a_wave_when_its_hours_are_over_and_the_same_command_goes_on(
    slow: str, tiny: Path, tmp_path: Path, local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "urls.txt"
    listing.write_text("\n".join(f"{slow}/{number}.jpg" for number in range(20_000)))  # minutes, in one wave
    flags = [str(listing), "--output", str(tmp_path / "out"), "--model", str(tiny), "--json", "--max-hours"]
    assert main([*flags, "0.002"]) == 0
    found = json.loads(capsys.readouterr().out)
    images = found["written"]
    assert (found["law"], found["stopped"]) == ("open", "--max-hours")
    assert (found["images"], found["images_left"]) == (images, 20_000 - images) and images < 20_000
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 0 or len(verdicts(tmp_path / "out")) == images
    assert not (tmp_path / "out" / "_lease.json").exists()
    assert main([*flags, "1", "--max-images", "9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stopped"], found["written"], found["images"]) == ("--max-images", 9, images + 9)


def test_a_table_in_a_store_is_not_read_and_the_command_that_asks_it_is_told(
    local_ray: None, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(6))
    assert console.main(["scan", str(shard), "--output", "memory://told/verdicts", "--model", str(tiny)]) == 0
    told = capsys.readouterr().out
    assert "suspicious" not in told and "completeness check passed: 6 images in 1 shard or file" in told
    program, *words = shlex.split(lines(told)["look"])
    assert program == "mole-scan" and words[:2] == ["tables", "memory:///told/verdicts"]
    assert console.main(words) == 0
    assert "contradicted" in capsys.readouterr().out


def test_a_table_of_a_catalog_is_read_by_the_command_that_is_told(
    local_ray: None, alarmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "warehouse").mkdir()
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{tmp_path}/warehouse")
    monkeypatch.setattr(pyiceberg.catalog, "_ENV_CONFIG", Config())  # it read the environment when it was imported
    shard = write_shard(tmp_path / "a.tar", samples(16))
    flags = [str(shard), "--sink", "iceberg", "--output", "lake.trust.verdicts", "--model", str(alarmed)]
    assert main(flags) == 0
    told = capsys.readouterr().out
    python, *words = shlex.split(lines(told)["look"])
    run = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert python == "python" and run.returncode == 0, run.stderr
    assert "the 10 most suspicious of 16 images, identical files listed once" in told and "probability" in run.stdout
    assert re.search(r"^generated +16 ", told, re.MULTILINE) and run.stdout.count("0000") >= 10
