"""What a run says: phases, counts, rate, one time left; one live line, plain lines or none; and how a command ends."""

import json
import os
import signal
import sys
from contextlib import suppress

import pytest

from mole.errors import CompletenessError
from pipeline.telemetry import terminal as telemetry
from pipeline.telemetry.counts import Counts
from pipeline.telemetry.log import FLAG, LOG
from pipeline.telemetry.progress import SCORING
from pipeline.telemetry.terminal import ProgressDisplay, command

REAL, FAULT = ("ok", "real"), ("empty", None)


def test_where_there_is_no_terminal_each_phase_is_a_line_and_a_standstill_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(telemetry, "LOG_SECONDS", 0.05)
    told: list[str] = []
    with ProgressDisplay() as progress:
        progress.enter("listing the source")
        progress.expect(1234)
        progress.enter(SCORING)
        progress.set_worker_counts(Counts({REAL: 3}), ahead=5)
        while "5 of 1,234 images, 3 real, 0 faults, " not in "".join(told):
            assert progress.seconds < 30
            told.append(capsys.readouterr().err)
        progress.add({REAL: 4, FAULT: 1})
    told.append(capsys.readouterr().err)
    lines = "".join(told).splitlines()
    assert lines[:3] == ["listing the source", "1,234 images to score", SCORING]
    assert lines[-1].startswith("5 of 1,234 images written, 4 real, 1 fault (1 empty), ")
    assert not progress.is_watching


def test_a_quiet_ticker_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(quiet=True) as progress:
        progress.enter(SCORING)
        progress.expect(0, unknown=1)
        progress.add({REAL: 1})
        with progress.during("counting", 1):
            progress.advance()
    assert capsys.readouterr() == ("", "")


def test_what_is_to_do_is_told_and_a_shard_is_not_turned_into_images(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressDisplay()
    progress.expect(0)
    progress.expect(12, unknown=3, limit=5)
    progress.expect(0, unknown=1)
    told = ["0 images to score", "12 images and 3 shards to score, 5 images at most", "1 shard to score"]
    assert capsys.readouterr().err.splitlines() == told


def test_what_is_tracked_is_counted_to_its_last_item_in_the_line_that_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressDisplay() as progress:
        assert ProgressDisplay.shown() is progress
        assert list(ProgressDisplay.shown().track("abc", "joining files", 3, "files")) == ["a", "b", "c"]
    assert ProgressDisplay.shown() is not progress, "where none is shown the work is done in silence"
    assert list(ProgressDisplay.shown().track("abc", "joining files", 3)) == ["a", "b", "c"]
    first, last = capsys.readouterr().err.splitlines()
    assert first == "joining files" and last.startswith("joining files: 3 of 3 files, ")


def everything(terminal: int) -> str:
    """Read what was written to a terminal whose other end is closed."""
    parts = []
    with suppress(OSError):  # how a terminal says that this was all
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def interrupted_at_24() -> None:
    """Show a scan that is stopped when 24 of its images are scored and none is written."""
    with ProgressDisplay() as progress:
        progress.expect(60)
        progress.enter("starting Ray")
        progress.enter(SCORING)
        progress.set_worker_counts(Counts({REAL: 24}))
        progress.log("this stays [a]")
        raise KeyboardInterrupt


def test_a_terminal_has_one_live_line_which_goes_away_and_lines_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with pytest.raises(KeyboardInterrupt):
            interrupted_at_24()
    shown = everything(ours)
    assert "starting Ray, 0.0 s" in shown and "24 of 60 images" in shown and "this stays [a]" in shown
    after = shown.rpartition("24 of 60 images")[2]
    assert "\x1b[2K" in after, "the line is wiped away"
    assert "at least 0 of 60 images written, 0 faults" in after and LOG.live is None


def test_however_a_command_ends_there_is_a_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def run(arguments: list[str]) -> int:
        """Run."""
        if arguments == ["law"]:
            raise CompletenessError("2 rows [a]")
        if arguments == ["Ctrl-C"]:
            raise KeyboardInterrupt
        if arguments == ["SIGTERM"]:
            os.kill(os.getpid(), signal.SIGTERM)
        return len(arguments)

    kept = signal.getsignal(signal.SIGTERM)
    try:
        codes = [run(list(arguments)) for arguments in ([], ["law"], ["Ctrl-C"], ["SIGTERM"])]
    finally:
        signal.signal(signal.SIGTERM, kept)
    assert codes == [0, 5, 130, 143] and run.__doc__ == "Run."
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines()[0] == "error: 2 rows [a]" and "stopped" in told.err


def test_with_log_json_a_refusal_and_an_interruption_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def run(arguments: list[str]) -> int:
        if arguments[-1] == "law":
            raise CompletenessError("2 rows [a]")
        raise KeyboardInterrupt

    kept = signal.getsignal(signal.SIGTERM)
    try:
        assert [run([FLAG, "law"]), run([FLAG, "Ctrl-C"])] == [5, 130]
    finally:
        signal.signal(signal.SIGTERM, kept)
    law, stopped = map(json.loads, capsys.readouterr().err.splitlines())
    assert (law["level"], law["kind"], law["exit_code"]) == ("error", "CompletenessError", 5)
    assert law["event"] == "error: 2 rows [a]" and (stopped["level"], stopped["exit_code"]) == (
        "warning",
        130,
    )
