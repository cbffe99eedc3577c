"""The tables command: its output, and the DuckDB file that it writes."""

import json
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.compact import main as compact
from jobs.tables import main
from pipeline.scan.table.lease import Lease
from tests.verdicts import BEGUN, verdict_row, write_verdicts


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three images by one model, one of them by the next."""
    return write_verdicts(
        tmp_path / "table",
        [verdict_row("a.tar#1", index, verdict="real") for index in range(3)],
        [verdict_row("a.tar#1", 1, model="new", verdict="generated", scanned_at=BEGUN + timedelta(days=1))],
    )


def test_a_view_is_shown_and_progress_where_none_is_named(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--table", str(table)]) == 0
    told = capsys.readouterr().out
    assert "share" in told and "0.333" in told and "2 rows" in told
    assert main(["--table", str(table), "--view", "changed", "--json"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["former_verdict"], row["verdict"], row["index"]) == ("real", "generated", 1)


def test_a_question_is_answered_up_to_the_limit(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = ["--sql", 'SELECT "index" FROM current ORDER BY "index"', "--json"]
    assert main(["--table", str(table), *question, "--limit", "2"]) == 0
    assert capsys.readouterr().out == '{"index": 0}\n{"index": 1}\n'
    assert main(["--table", str(table), *question, "--limit", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_an_answer_that_the_limit_cut_says_so(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = ["--table", str(table), "--sql", 'SELECT "index" FROM current', "--limit"]
    last = []
    for limit in ("2", "3", "0"):
        assert main([*question, limit]) == 0
        last.append(capsys.readouterr().out.splitlines()[-1])
    assert last == ["2 rows; there are more, and --limit 0 shows all", "3 rows", "3 rows"]


def test_bytes_are_hex_in_json_and_an_answer_in_sql_keeps_its_columns_of_nulls(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = "SELECT 'ab'::BLOB AS hash, {'own': 'c'::BLOB} AS inner, NULL AS nothing"
    assert main(["--table", str(table), "--sql", question, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"hash": "6162", "inner": {"own": "63"}, "nothing": None}
    assert main(["--table", str(table), "--sql", "SELECT NULL AS nothing, verdict FROM current"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["nothing", "verdict"]
    assert main(["--table", str(table), "--view", "verdicts"]) == 0
    assert "uri" in (told := capsys.readouterr().out) and "probability" in told


def test_the_views_of_a_database_follow_the_table(table: Path, tmp_path: Path) -> None:
    file = tmp_path / "views.duckdb"
    assert main(["--table", str(table), "--database", str(file)]) == 0
    with duckdb.connect(str(file)) as kept:
        assert kept.sql("SELECT count(*) FROM current").fetchall() == [(3,)]
        write_verdicts(table, [verdict_row("b.tar#1", 0)])
        assert kept.sql("SELECT count(*) FROM current").fetchall() == [(4,)]


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--sql", "SELECT nothing FROM nowhere"], 2, "nowhere"),
        (["--sql", " "], 2, "must be one query"),
        (["--view", "none"], 2, "--view"),
        (["--table", "nowhere"], 2, "--table 'nowhere' is not there"),
        (["--sql", "SELECT 1; SELECT 2"], 2, "must be one query"),
        (
            ["--sql", "SELECT verdict::INT FROM current"],
            2,
            "; the views are current, evidence, faults, changed, progress, verdicts",
        ),
    ],
)
def test_what_cannot_be_answered_has_its_exit_code(
    table: Path, flags: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--table", str(table), *flags]) == code
    assert words in capsys.readouterr().err.replace("\n", " ")


def test_the_runs_of_a_table_are_a_view_with_their_exit_codes(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = ["--table", str(table), "--sql", "SELECT job, exit_code, error, submission FROM runs ORDER BY id"]
    assert main([*question, "--json"]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"metadata": {"job_submission_id": "nightly"}}))
    assert compact(["--table", str(table), "--grace", "0"]) == 0
    with Lease(str(table)):
        assert compact(["--table", str(table)]) == 7
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(f"run: {table}/_runs/")
    assert main([*question, "--json"]) == 0
    first, second = sorted(map(json.loads, capsys.readouterr().out.splitlines()), key=lambda row: row["exit_code"])
    assert first == {"job": "compact", "exit_code": 0, "error": None, "submission": "nightly"}
    assert second["exit_code"] == 7 and second["error"]["kind"] == "HeldError"
    assert main(["--table", str(table), "--view", "runs"]) == 0
    assert "HeldError: " in capsys.readouterr().out.replace("\n", "")


def test_names_of_crawled_images_do_nothing_to_a_terminal(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = "SELECT 'a' || chr(27) || '[31m' || chr(10) || chr(8238) || '[red]b[/red]' AS key"
    assert main(["--table", str(table), "--sql", question]) == 0
    assert "a\\x1b[31m\\n\\u202e[red]b[/red]" in capsys.readouterr().out


def test_a_view_and_a_question_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--table", "t", "--sql", "FROM runs", "--view", "runs"]) == 2
    assert "--sql and --view exclude each other" in capsys.readouterr().err
