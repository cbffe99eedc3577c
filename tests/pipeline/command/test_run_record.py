"""A run leaves its outcome beside its table, whatever ended it, and no secret in it."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from mole.errors import CompletenessError, HeldError, MoleError
from pipeline.command.run_record import RUNS_FOLDER, Record
from pipeline.runtime.submission import JOB_CONFIG
from pipeline.scan.settings import ScanSettings
from pipeline.telemetry.terminal import ProgressDisplay, Terminated, command

SECRET = "https://me:secret@host/a.tar?X-Amz-Signature=secret"


@pytest.fixture
def settings(tmp_path: Path) -> ScanSettings:
    """A scan of a place whose URL holds secrets."""
    return ScanSettings(source=[SECRET], output=str(tmp_path))


def record_of(output: Path) -> dict[str, Any]:
    """Read the one record of a table."""
    [file] = (output / RUNS_FOLDER).iterdir()
    found: dict[str, Any] = json.loads(file.read_text())
    assert "secret" not in file.read_text()
    return found


def test_a_run_that_is_killed_leaves_a_record_without_an_exit_code(settings: ScanSettings, tmp_path: Path) -> None:
    record = Record("scan", settings, ProgressDisplay(quiet=True))
    record.begin(str(tmp_path))
    found = record_of(tmp_path)
    assert (found["exit_code"], found["ended"], found["job"]) == (None, None, "scan")
    assert found["settings"]["source"] == ["https://***@host/a.tar?***"]


def test_a_run_that_succeeds_leaves_what_it_did(
    settings: ScanSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB_CONFIG, json.dumps({"metadata": {"job_submission_id": "nightly-1"}}))
    progress = ProgressDisplay(quiet=True)
    with Record("scan", settings, progress) as record:
        record.begin(str(tmp_path))
        progress.enter("scoring images")
        progress.add({("ok", "real"): 5, ("empty", None): 2})
        record.succeed({"images": 7, "law": "kept"})
    found = record_of(tmp_path)
    assert (record.exit_code, found["exit_code"], found["error"]) == (0, 0, None)
    assert (found["written"], found["faults"], found["summary"]) == (7, 2, {"images": 7, "law": "kept"})
    assert found["verdicts"] == {"real": 5} and list(found["phases"]) == ["scoring images"]
    assert found["progress"][-1] == [pytest.approx(found["seconds"], abs=0.2), 7]
    assert f"    {json.dumps(found['progress'][-1])}\n" in next((tmp_path / RUNS_FOLDER).iterdir()).read_text()
    assert found["submission"] == "nightly-1" and found["seconds"] >= 0 and found["ended"] >= found["started"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CompletenessError("2 units miss rows"), 5),
        (HeldError(f"held while reading {SECRET}"), 7),
        (KeyboardInterrupt(), 130),
        (Terminated(signal.SIGTERM), 143),
    ],
)
def test_what_ended_a_run_stands_in_its_record_with_the_exit_code(
    settings: ScanSettings, tmp_path: Path, error: BaseException, code: int
) -> None:
    with Record("scan", settings, ProgressDisplay(quiet=True)) as record:
        record.begin(str(tmp_path))
        raise error
    found = record_of(tmp_path)
    assert record.exit_code == found["exit_code"] == code
    assert found["error"]["kind"] == type(error).__name__


def test_an_error_that_nobody_foresaw_is_recorded_and_raised(settings: ScanSettings, tmp_path: Path) -> None:
    def fail() -> None:
        with Record("scan", settings, ProgressDisplay(quiet=True)) as record:
            record.begin(str(tmp_path))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert record_of(tmp_path)["exit_code"] == 1


def test_a_place_that_takes_no_record_does_not_hide_what_ended_the_run(
    settings: ScanSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    with Record("scan", settings, ProgressDisplay()) as record:
        record.begin(str(tmp_path / "file" / "out"))
        raise MoleError("the true reason")
    told = capsys.readouterr().err
    assert "the run's record was not written" in told and "the true reason" in told
    record.log_location()
    assert "run:" not in capsys.readouterr().err


@pytest.mark.parametrize(("sent", "code"), [(True, 143), (False, 130)])
def test_a_signal_that_a_query_of_duckdb_turned_into_its_own_error_is_an_interruption(
    sent: bool, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Terminated, "sent", sent)
    with Record("scan", ScanSettings(source=["s"], output=str(tmp_path)), ProgressDisplay(quiet=True)) as record:
        record.begin(str(tmp_path))
        raise RuntimeError("Query interrupted")
    [written] = (tmp_path / RUNS_FOLDER).glob("*.json")
    assert record.exit_code == json.loads(written.read_text())["exit_code"] == code
    assert command(lambda _: _interrupted())([]) == code
    with pytest.raises(RuntimeError, match="another"):
        command(lambda _: _interrupted("another"))([])


def _interrupted(words: str = "Query interrupted") -> int:
    raise RuntimeError(words)
