"""Selection: which images a rescan scores, and how neighbours are read with one request."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mole.errors import SettingsError, StorageError
from pipeline.scan.table.selection import MAX_GAP, Selection, SelectionQuery, bytes_of, readings, select_images
from pipeline.scan.table.views import open_views
from tests.verdicts import verdict_row, write_verdicts

NEW = "fresh"
MEMBER = st.tuples(st.integers(0, 3000), st.integers(1, 20_000))


def chosen(table: Path, folder: Path, **query: Any) -> tuple[Selection, list[tuple[str, int]]]:
    """Choose, and read the listing."""
    with open_views(str(table)) as views:
        selection = select_images(views, SelectionQuery((NEW,), **query), str(folder / "listing.parquet"))
    rows = pq.read_table(folder / "listing.parquet").to_pylist()
    assert len(rows) == selection.images
    return selection, [(row["unit"], row["index"]) for row in rows]


@given(st.lists(MEMBER, max_size=40), st.integers(1, 3))
def test_a_reading_holds_its_images_and_little_else(members: list[tuple[int, int]], units: int) -> None:
    rows: list[dict[str, Any]] = []
    at = 0
    for number, (gap, length) in enumerate(members):
        rows.append({"unit": f"u{number * units // len(members)}", "offset": at + gap, "length": length})
        at += gap + length
    schema = pa.schema([("unit", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
    table = pa.Table.from_pylist(rows, schema)
    number_of = readings(table)
    facts = table.append_column("bytes", table["length"]).append_column(
        "entire", pa.array([False] * len(rows), pa.bool_())
    )
    asked = bytes_of(facts, number_of)
    spans: dict[int, list[dict[str, Any]]] = {}
    for number, row in zip(number_of.tolist(), rows, strict=True):
        spans.setdefault(number, []).append(row)
    assert asked == sum(span[-1]["offset"] + span[-1]["length"] - span[0]["offset"] for span in spans.values())
    assert all(len({row["unit"] for row in span}) == 1 for span in spans.values())
    assert sum(row["length"] for row in rows) <= asked <= (1 + MAX_GAP) * sum(row["length"] for row in rows)


def test_what_the_model_has_judged_is_not_chosen_and_sql_chooses_among_the_rest(tmp_path: Path) -> None:
    table = write_verdicts(
        tmp_path / "table",
        [verdict_row("a.tar#1", index, verdict="unsure" if index < 2 else "real") for index in range(4)],
        [verdict_row("a.tar#1", 0, model=NEW, verdict="real")],
    )
    assert chosen(table, tmp_path)[1] == [("a.tar#1", 1), ("a.tar#1", 2), ("a.tar#1", 3)]
    assert chosen(table, tmp_path, where="verdict = 'unsure'")[1] == [("a.tar#1", 1)]


def test_what_the_model_could_not_read_is_chosen_where_sql_asks_for_it(tmp_path: Path) -> None:
    table = write_verdicts(
        tmp_path / "table",
        [
            verdict_row("list.txt#1:0-2", 0, model=NEW, status="unreachable"),
            verdict_row("list.txt#1:0-2", 1, model=NEW, status="not_an_image"),
        ],
    )
    assert chosen(table, tmp_path)[1] == []
    assert chosen(table, tmp_path, where="status <> 'ok'")[1] == [("list.txt#1:0-2", 0)]


def test_a_time_and_a_share_bound_the_choice_and_the_share_is_the_same_each_time(tmp_path: Path) -> None:
    old, new = (datetime(2026, month, 1, tzinfo=UTC) for month in (9, 11))
    table = write_verdicts(
        tmp_path / "table",
        [verdict_row("a.tar#1", index, scanned_at=old if index < 500 else new) for index in range(1000)],
    )
    since = chosen(table, tmp_path, newer_than=datetime(2026, 10, 1, tzinfo=UTC))[1]
    assert [index for _, index in since] == list(range(500, 1000))
    drawn = chosen(table, tmp_path, sample=0.1)[1]
    assert 60 < len(drawn) < 140
    assert chosen(table, tmp_path, sample=0.1)[1] == drawn
    assert set(drawn) < set(chosen(table, tmp_path, sample=0.3)[1])


def test_a_compressed_shard_is_named_to_be_read_whole(tmp_path: Path) -> None:
    rows = [verdict_row("b.tar.gz#1", index, offset=None, length=None) for index in range(600)]
    selection, _ = chosen(write_verdicts(tmp_path / "table", rows), tmp_path)
    assert (selection.groups, selection.entire) == (3, (("b.tar.gz#1", range(3)),))


def test_a_condition_that_is_no_sql_is_refused_with_the_columns(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0)])
    for where in ("verdikt = 'real'", "verdict = ", "CAST(key || 'x' AS INT) > 3", "(true", "true)", "true; false"):
        with pytest.raises(SettingsError) as refused:
            chosen(table, tmp_path, where=where)
        told = str(refused.value)
        assert told.startswith(f"--where {where!r}") and "\n" not in told, "the user's words, and the reason in a line"
        assert "scanned_at >=" not in told and "ORDER" not in told, "nothing of the query around them"
        assert "semicolon" in told or told.endswith("scanned_at, model")


def test_a_condition_may_end_with_a_comment(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0)])
    assert chosen(table, tmp_path, where="true -- all of them")[1] == [("a.tar#1", 0)]


def test_a_listing_that_cannot_be_written_is_a_fault_of_the_store(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0)])
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot write the listing"):
        chosen(table, tmp_path / "file")


def test_a_condition_is_about_the_newest_row_of_an_image_alone(tmp_path: Path) -> None:
    old, new = (datetime(2026, month, 1, tzinfo=UTC) for month in (9, 11))
    rows = {"a": ("unsure", "real", "real", "unsure"), "b": ("real", "unsure", "unsure", "real")}
    times = {"a": (old, old, new, new), "b": (new, new, new, new)}
    table = write_verdicts(
        tmp_path / "table",
        *(
            [
                verdict_row("a.tar#1", index, model=model, verdict=verdicts[index], scanned_at=times[model][index])
                for index in range(4)
            ]
            for model, verdicts in rows.items()
        ),
    )
    assert chosen(table, tmp_path, where="verdict = 'unsure'")[1] == [("a.tar#1", 1), ("a.tar#1", 3)]
    with open_views(str(table)) as views:
        newest = views.sql("""SELECT unit, "index" FROM current WHERE verdict = 'unsure' ORDER BY ALL""").fetchall()
    assert newest == chosen(table, tmp_path, where="verdict = 'unsure'")[1]


def test_an_image_in_two_files_of_a_table_that_is_being_compacted_is_chosen_once(tmp_path: Path) -> None:
    row = verdict_row("a.tar#1", 0)
    table = write_verdicts(tmp_path / "table", [row, verdict_row("a.tar#1", 1)], [row])
    assert chosen(table, tmp_path)[1] == [("a.tar#1", 0), ("a.tar#1", 1)]


def test_a_condition_may_name_the_view_that_it_is_about(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0, verdict="real")])
    assert chosen(table, tmp_path, where="current.verdict = 'real'")[1] == [("a.tar#1", 0)]
