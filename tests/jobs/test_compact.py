"""The compact command: with --log-json every line on stderr is JSON, down to the one that names the run record."""

import json
from pathlib import Path

import pytest

from jobs.compact import main
from tests.verdicts import verdict_row, write_verdicts


def test_each_line_is_an_object_with_run_job_and_phase_and_the_last_names_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_verdicts(tmp_path / "out", *([verdict_row(f"a.jpg#{unit}", 0, last=True)] for unit in range(3)))
    assert main(["--table", str(table), "--grace", "0", "--log-json", "--json"]) == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.err.splitlines()]
    assert json.loads(told.out)[0]["after"] == 1
    assert {(line["run"], line["job"]) for line in lines} == {(lines[0]["run"], "compact")}
    [done] = [line for line in lines if line.get("done")]
    assert (done["done"], done["total"], done["of"]) == (1, 1, "files")
    record = json.loads(Path(lines[-1]["record"]).read_text())
    assert (record["id"], record["exit_code"]) == (lines[0]["run"], 0)
    assert {"joining files", "waiting for those who read the small files"} <= record["phases"].keys()


def test_what_is_refused_before_the_settings_are_read_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--log-json", "--no-such-flag"]) == 2
    [line] = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["level"], line["kind"], line["exit_code"]) == ("error", "SettingsError", 2)


def test_a_variable_asks_for_json_as_the_flag_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOLE_COMPACT_LOG_JSON", "true")
    assert main(["--table", "/nowhere", "--grace", "-1"]) == 2
    assert json.loads(capsys.readouterr().err)["kind"] == "SettingsError"
