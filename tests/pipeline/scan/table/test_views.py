"""The views of a verdict table."""

from datetime import timedelta
from pathlib import Path

import duckdb
import fsspec
import pytest

from mole.errors import SettingsError, StorageError
from pipeline.scan.table.views import open_views, partitions
from tests.verdicts import BEGUN, verdict_row, write_verdicts

LATER, LATEST = BEGUN + timedelta(days=1), BEGUN + timedelta(days=2)


def asked(table: Path | str, query: str) -> list[tuple[object, ...]]:
    """Ask a table's views."""
    with open_views(str(table)) as views:
        return views.sql(query).fetchall()


def test_current_is_the_newest_verdict_of_each_image(tmp_path: Path) -> None:
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", index, verdict="real") for index in range(3)],
        [verdict_row("a.tar#1", 1, model="new", verdict="generated", scanned_at=LATER)],
        [verdict_row("a.tar#1", 2, model="older", verdict="generated", scanned_at=BEGUN - timedelta(days=1))],
    )
    found = asked(tmp_path, """SELECT "index", model, verdict FROM current ORDER BY ALL""")
    assert found == [(0, "old", "real"), (1, "new", "generated"), (2, "old", "real")]


@pytest.mark.parametrize("name", ["[v2]", "a*b?", "it's", "o::x"])
def test_a_table_below_a_folder_of_any_name_is_read(name: str, tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / name / "verdicts", [verdict_row("a.tar#1", index) for index in range(3)])
    assert asked(table, "SELECT count(*), any_value(model) FROM current") == [(3, "old")]
    assert partitions(str(table)) == [f"{table}/model=old"]


def test_units_whose_bytes_changed_are_gone_from_current_and_the_slices_of_one_listing_are_not(tmp_path: Path) -> None:
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", 0), verdict_row("b.tar#1", 0)],
        [verdict_row("a.tar#2", 0, scanned_at=LATER)],
        [verdict_row(f"s3://l/x.csv#e:{rows}", 0, uri="s3://l/1.jpg") for rows in ("0-256", "256-300")],
        [verdict_row("c#d.jpg#missing", 0, status="missing", uri="c#d.jpg")],
        [verdict_row("c#d.jpg#7-8", 0, scanned_at=LATER, uri="c#d.jpg")],
    )
    names = [row[0] for row in asked(tmp_path, "SELECT unit FROM current ORDER BY unit")]
    assert names == ["a.tar#2", "b.tar#1", "c#d.jpg#7-8", "s3://l/x.csv#e:0-256", "s3://l/x.csv#e:256-300"]


def test_of_a_shard_the_last_choice_of_a_member_is_living_and_every_column_of_a_parquet_file_is(tmp_path: Path) -> None:
    columns = [f"s3://l/x.parquet#e:0-9:member={name}" for name in ("left", "right%20%23")]
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", 0), *(verdict_row(name, 0) for name in columns)],
        [verdict_row("a.tar#1:member=seg.png", 0, scanned_at=LATER)],
    )
    names = [row[0] for row in asked(tmp_path, "SELECT unit FROM current ORDER BY unit")]
    assert names == ["a.tar#1:member=seg.png", *columns]


def test_changed_has_what_the_new_model_flipped_with_both_scores(tmp_path: Path) -> None:
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", 0, verdict="real", probability=0.25), verdict_row("a.tar#1", 1, verdict="real")],
        [verdict_row("a.tar#1", index, model="mid", verdict="real", scanned_at=LATER) for index in range(2)],
        [
            verdict_row("a.tar#1", 0, model="new", verdict="generated", probability=0.75, scanned_at=LATEST),
            verdict_row("a.tar#1", 1, model="new", verdict="real", scanned_at=LATEST),
        ],
    )
    columns = '"index", former_model, former_verdict, former_probability, model, verdict, probability'
    assert asked(tmp_path, f"SELECT {columns} FROM changed") == [(0, "mid", "real", 0.5, "new", "generated", 0.75)]


def test_faults_have_no_verdict_and_progress_counts_each_model(tmp_path: Path) -> None:
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", index, status="truncated" if index == 3 else "ok") for index in range(4)],
        [verdict_row("a.tar#1", 0, model="new", verdict="real", scanned_at=LATER)],
    )
    assert asked(tmp_path, 'SELECT "index", status FROM faults') == [(3, "truncated")]
    columns = "model, images, share, faults, generated, real, unsure"
    assert asked(tmp_path, f"SELECT {columns} FROM progress") == [
        ("new", 1, 0.25, 0, 0, 1, 0),
        ("old", 4, 1.0, 1, 0, 0, 3),
    ]


def test_carried_columns_of_some_parts_stand_beside_parts_without(tmp_path: Path) -> None:
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", 0, carried={"url": "u"})],
        [verdict_row("b.tar#1", 0, carried={"caption": "c"})],
        [verdict_row("c.tar#1", 0)],
    )
    found = asked(tmp_path, "SELECT carried.url, carried.caption FROM current ORDER BY unit")
    assert found == [("u", None), (None, "c"), (None, None)]


def test_a_table_in_a_bucket_is_asked_where_it_lies(store: int, tmp_path: Path) -> None:
    fs = fsspec.filesystem("s3")
    fs.mkdir("asked")
    fs.put(str(write_verdicts(tmp_path, [verdict_row("a.tar#1", 0)])) + "/", "asked/table/", recursive=True)
    assert asked("s3://asked/table", 'SELECT unit, "index", model FROM current') == [("a.tar#1", 0, "old")]


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no verdict table"):
        asked(tmp_path, "FROM current")


def test_an_error_within_the_database_is_told_without_the_traceback_in_it(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [verdict_row("a.tar#1", 0)])
    words = 'Traceback (most recent call last):\n  File "core.py", line 1821, in _info\nFileNotFoundError: lake/_runs'
    with pytest.raises(StorageError) as told, open_views(str(table)):
        raise duckdb.IOException(words)
    assert str(told.value) == f"cannot read the verdict table in '{table}': FileNotFoundError: lake/_runs"
