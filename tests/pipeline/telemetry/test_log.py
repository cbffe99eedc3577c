"""With --log-json whatever a command says on stderr is one JSON object a line, and afterwards stderr is as it was."""

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.telemetry.log import FLAG, LOG, Lines, Terminal, is_true
from tests.tiny import tiny_checkpoint

ROOT = Path(__file__).parents[3]


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Read stderr, of which every line must be an object with a time and a level."""
    objects = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all(one["timestamp"].endswith("Z") and one["level"] for one in objects)
    return objects


def test_lines_warnings_logs_and_what_others_print_are_objects_with_run_and_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stderr, logging.root.handlers[:]
    with LOG.opened([FLAG]):
        run = LOG.begin("scan")
        LOG.log("2 of [7] images\nin two lines", images=2, faults={"empty": 1})
        warnings.warn("old thing", stacklevel=1)
        logging.getLogger("somebody").error("it broke: %s", "pipe")
        sys.stderr.write("(raylet) a worker died\n\nhalf")
    said, warned, logged, first, half = told(capsys)
    assert (said["run"], said["job"], said["level"]) == (run, "scan", "info")
    assert said["event"] == "2 of [7] images\nin two lines" and (said["images"], said["faults"]) == (2, {"empty": 1})
    assert "old thing" in warned["event"] and warned["level"] == "warning"
    assert (logged["event"], logged["level"], logged["source"]) == ("it broke: pipe", "error", "somebody")
    assert [one["event"] for one in (first, half)] == ["(raylet) a worker died", "half"]
    assert (sys.stderr, logging.root.handlers) == before and not LOG.is_json and LOG.facts == {}


def test_an_error_that_nobody_foresaw_is_an_object_with_its_traceback_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, LOG.opened([FLAG]):
        raise ZeroDivisionError("by nothing")
    [error] = told(capsys)
    assert ended.value.code == 1 and error["level"] == "error"
    assert error["event"] == "ZeroDivisionError: by nothing" and "Traceback" in error["exception"]


def test_without_the_flag_lines_are_for_people_and_an_error_goes_its_way(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with LOG.opened([]):
            LOG.log("12 images [bold]", "warning", images=12)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert capsys.readouterr().err == "12 images [bold]\n"


def test_lines_come_out_where_stderr_led_when_the_command_began_though_it_is_muted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("log") / "log"
    with file.open("w") as stream, open(os.devnull, "w") as nowhere:
        monkeypatch.setattr(sys, "stderr", stream)
        with LOG.opened([]):
            os.dup2(nowhere.fileno(), stream.fileno())  # as while Ray's core starts
            LOG.log("starting Ray")
    assert file.read_text() == "starting Ray\n"


def test_a_line_written_in_pieces_is_one_and_blank_ones_are_none() -> None:
    got: list[str] = []
    lines = Lines(got.append, io.StringIO())
    for piece in ("a", "b\r\n", "\n  \n", "c\nd"):
        assert lines.write(piece) == len(piece)
    lines.flush()
    assert got == ["ab", "c", "d"]


@pytest.mark.parametrize(("value", "yes"), [(True, True), ("1", True), ("On", True), ("0", False), (False, False)])
def test_a_setting_says_yes_as_the_settings_read_it(value: object, yes: bool) -> None:
    assert is_true(value) is yes


def test_a_reader_that_leaves_ends_no_command() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        console = Terminal(file=stream)
        console.print("a line that nobody reads")
        console.print("and another")
        print("and one past the console", file=stream, flush=True)


def test_a_scan_whose_lines_nobody_reads_is_complete(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    model = tiny_checkpoint(tmp_path / "model")
    scan = f"{sys.executable} jobs/scan.py {tmp_path}/a.png --model {model} --output {tmp_path}/out --no-report"
    line = f"({scan} 2>&1; echo $? >{tmp_path}/code) | true"
    subprocess.run(["bash", "-c", line], check=True, cwd=ROOT, timeout=300)
    assert (tmp_path / "code").read_text() == "0\n"
    [part] = (tmp_path / "out").glob("model=*/*.parquet")
    assert pq.read_metadata(part).num_rows == 1
