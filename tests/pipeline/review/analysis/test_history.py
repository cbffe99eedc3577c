"""Laws of a table's history: its runs and what they wrote, from first to last."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.review.analysis.history import BUCKETS, runs, spans, worth_drawing
from pipeline.review.analysis.model_rows import open_rows
from tests.verdicts import BEGUN, verdict_row, write_verdicts


def record(table: Path, started: datetime, **given: Any) -> None:
    (table / "_runs").mkdir(exist_ok=True)
    told = {
        "id": f"{started:%H%M%S}", "job": "scan", "version": "0.1.0", "started": started.isoformat(),
        "ended": (started + timedelta(seconds=30)).isoformat(), "seconds": 30.0, "exit_code": 0, "error": None,
        "written": 2, "faults": 0, "summary": {"model": "old"}, "host": "h", "process": 1, "submission": None,
        "command": "jobs/scan.py", "settings": {"source": ["/photos"], "model": "embedded"},
    }  # fmt: skip
    (table / "_runs" / f"{started:%H%M%S}.json").write_text(json.dumps(told | given))


def image(index: int, seconds: float, **given: Any) -> dict[str, Any]:
    return verdict_row(f"{index}.jpg#1", 0, last=True, scanned_at=BEGUN + timedelta(seconds=seconds), **given)


def test_a_table_without_records_has_no_runs(tmp_path: Path) -> None:
    with open_rows(str(write_verdicts(tmp_path, [image(0, 0)]))) as rows:
        assert runs(rows) == []


def test_runs_come_last_first_with_what_they_called_generated(tmp_path: Path) -> None:
    table = write_verdicts(
        tmp_path, [image(0, 1, verdict="generated"), image(1, 2), image(2, 101, verdict="generated"), image(3, 500)]
    )
    record(table, BEGUN)
    record(table, BEGUN + timedelta(seconds=100), exit_code=None, ended=None, seconds=None)
    record(table, BEGUN + timedelta(seconds=50), job="compact")
    with open_rows(str(table)) as rows:
        last, first = runs(rows)
    assert (first.called.count, first.called.images) == (1, 2) and first.rate == pytest.approx(2 / 30)
    assert (last.called.count, last.called.images, last.rate, last.exit_code) == (1, 2, None, None)
    assert first.settings["source"] == ["/photos"] and first.model == "old" and first.steps == ()


def test_the_course_of_a_run_is_even_in_time_and_holds_every_image(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [image(0, 1)])
    record(table, BEGUN)
    with open_rows(str(table)) as rows:
        [run] = runs(rows)
    steps = ((5.0, 0), (10.0, 4), (10.0, 6), (20.0, 9), (60.0, 18))
    course = replace(run, steps=steps).course
    assert [end for end, _ in course] == pytest.approx([15, 30, 45, 60])
    assert sum(rate * 15 for _, rate in course) == pytest.approx(18)
    assert course[0][1] == pytest.approx(7.5 / 15) and replace(run, steps=steps[:3]).course == []


@pytest.mark.parametrize("first", [[(55.0, 0), (60.0, 40)], [(60.0, 40)]], ids=["a zero on record", "none"])
def test_nothing_was_done_before_the_first_image(first: list[tuple[float, int]], tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [image(0, 1)])
    record(table, BEGUN)
    with open_rows(str(table)) as rows:
        [run] = runs(rows)
    steps = (*first, *((65.0 + 5 * at, 60 + 20 * at) for at in range(12)))
    course = replace(run, steps=steps).course
    assert all(rate == 0 for end, rate in course if end <= 55) and course[-1][1] == pytest.approx(4, rel=0.1)
    short = tuple((50.0 + at, 10 * at) for at in range(9))
    few = tuple((10.0 * at, at) for at in range(6))
    assert replace(run, steps=short).course == [] == replace(run, steps=few).course


def test_a_few_images_or_seconds_are_no_course(tmp_path: Path) -> None:
    made = {width: [image(at, width * at) for at in range(count)] for width, count in ((0.5, 15), (8.0, 5), (1.0, 20))}
    told = {}
    for width, some in made.items():
        with open_rows(str(write_verdicts(tmp_path / str(width), some))) as rows:
            told[width] = worth_drawing(spans(rows))
    assert told == {0.5: False, 8.0: False, 1.0: True}


@pytest.mark.parametrize("told", [[], [[1, 2], ["x"]], [[5, 3], [4, 9]], None, "no list"])
def test_a_record_whose_progress_is_no_course_has_none(told: object, tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [image(0, 1)])
    record(table, BEGUN, progress=told)
    with open_rows(str(table)) as rows:
        [run] = runs(rows)
    assert run.steps == ()


def test_spans_cover_the_time_and_hold_every_row(tmp_path: Path) -> None:
    made = [image(index, 7.3 * index, verdict="generated" if index % 2 else "real") for index in range(40)]
    with open_rows(str(write_verdicts(tmp_path, made))) as rows:
        told = spans(rows)
    assert len(told) <= BUCKETS and sum(one.images for one in told) == 40
    assert sum(one.generated for one in told) == 20 and {one.seconds for one in told} == {5.0}
    assert told[0].since == datetime(2026, 11, 1, tzinfo=UTC) and told[0].rate == pytest.approx(0.2)


def test_rows_of_one_moment_are_one_span(tmp_path: Path) -> None:
    with open_rows(str(write_verdicts(tmp_path, [image(0, 0), image(1, 0.001)]))) as rows:
        assert [one.images for one in spans(rows)] == [2]
