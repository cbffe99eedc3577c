"""Duplicates: rows that wait lie aside, and get the verdict of the image that was scored and nothing else of it."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mole.errors import StorageError
from pipeline.records import CARRIED, MODEL, SAME_AS, UNRESOLVED_DUPLICATE, VERDICT, with_carried
from pipeline.scan.table.content_index import INDEX_FOLDER
from pipeline.scan.table.duplicates import complete_deferred, defer_duplicates, deferred_files, deferred_prefix
from pipeline.scan.table.part import encode
from pipeline.storage import storage
from tests.verdicts import BEGUN, verdict_row

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))
KNOWN = {"unit": "before#1", "index": 7}
SCHEMA = with_carried(VERDICT.append(SAME_AS), ("url",)).insert(0, pa.field(MODEL, pa.string()))


def row(unit: str, index: int, content: bytes | None, **given: Any) -> dict[str, Any]:
    """Write a row of a run with `--dedupe`, which carries a column."""
    carried = {CARRIED: {"url": f"https://example.org/{unit}/{index}"}}
    return verdict_row(unit, index, content_hash=content, **{SAME_AS.name: None}, **carried) | given


def waiting(unit: str, index: int, content: bytes, **given: Any) -> dict[str, Any]:
    """Write the row of an image whose bytes another image of the wave has."""
    nothing = dict.fromkeys(("status", "logit", "probability", "verdict", "width", "height"))
    return row(unit, index, content, **{SAME_AS.name: UNRESOLVED_DUPLICATE}) | nothing | given


def verdicts(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Make a table as `conclude` writes it."""
    return pa.Table.from_pylist(list(rows), SCHEMA)


def written(url: str, rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a file of the table, which has no column of the model."""
    storage.write(url, encode(verdicts(rows).drop_columns([MODEL])))
    return url


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a table whose name has what is special to SQL and to globs; of a store that DuckDB reads itself or not."""
    return f"{tmp_path}/it's [1]*" if request.param == "local" else f"memory://duplicates{tmp_path}/it's [1]"


def test_rows_that_wait_are_written_aside_and_all_others_passed_on(output: str) -> None:
    rows = [row("u#1", 0, A), waiting("u#1", 1, A), row("u#1", 2, B, same_as=KNOWN), waiting("u#1", 3, C)]
    prefix = deferred_prefix(output, "generation")
    passed = defer_duplicates(verdicts(rows), prefix)
    assert passed.schema.equals(SCHEMA) and passed["index"].to_pylist() == [0, 2]
    [file] = deferred_files(prefix)
    [after] = complete_deferred([file], [written(f"{output}/part.parquet", [row("v#1", 0, A), row("v#1", 1, C)])])
    assert sorted(after["index"].to_pylist()) == [1, 3]


def test_where_no_row_waits_nothing_is_written(output: str) -> None:
    table = verdicts([row("u#1", 0, A), row("u#1", 1, B, same_as=KNOWN)])
    prefix = deferred_prefix(output, "generation")
    assert defer_duplicates(table, prefix).equals(table)
    assert deferred_files(prefix) == []


def test_only_the_rows_that_this_run_deferred_are_listed_and_no_reader_of_the_table_finds_them(output: str) -> None:
    mine, other = (deferred_prefix(output, generation) for generation in ("g1", "g10"))
    for prefix in (mine, other):
        defer_duplicates(verdicts([waiting("u#1", 0, A)]), prefix)
    storage.write(storage.join(output, INDEX_FOLDER, "g1.arrow"), b"")
    [file] = deferred_files(mine)
    assert file.startswith(mine) and INDEX_FOLDER.startswith("_") and f"/{INDEX_FOLDER}/" in file
    assert deferred_files(other) != deferred_files(mine)


def test_a_duplicate_keeps_its_place_and_what_it_carries_and_has_the_rest_of_the_image_that_was_scored(
    output: str,
) -> None:
    scored = row("u#1", 0, A, logit=1.5, verdict="generated", probability=0.9, format="png", width=8, bytes=100)
    cut = row("u#1", 1, B, status="truncated", detail="it is cut", logit=None, probability=None, verdict=None)
    copies = [waiting("v#1", 4, A, model="new", key="copy.png", bytes=101), waiting("v#1", 5, B)]
    prefix = deferred_prefix(output, "generation")
    defer_duplicates(verdicts(copies), prefix)
    parts = [written(f"{output}/{number}.parquet", [one]) for number, one in enumerate((scored, cut))]
    made = pa.concat_tables(complete_deferred(deferred_files(prefix), parts))
    assert made.schema.equals(SCHEMA, check_metadata=True)
    expected = verdicts(
        [
            scored | {name: copies[0][name] for name in ("model", "unit", "index", "uri", "key", "bytes", CARRIED)},
            cut | {name: copies[1][name] for name in ("model", "unit", "index", "uri", "key", CARRIED)},
        ]
    ).to_pylist()
    for one, index in zip(expected, (0, 1), strict=True):
        one |= {"same_as": {"unit": "u#1", "index": index}}
        one |= {name: copies[index][name] for name in ("offset", "length")}
    assert sorted(made.to_pylist(), key=lambda one: one["index"]) == expected


def test_of_several_rows_of_the_same_bytes_the_oldest_gives_its_verdict_once(output: str) -> None:
    prefix = deferred_prefix(output, "generation")
    defer_duplicates(verdicts([waiting("v#1", 0, A)]), prefix)
    later = row("w#1", 0, A, logit=2.0, scanned_at=BEGUN + timedelta(seconds=1))
    part = written(f"{output}/part.parquet", [later, row("u#1", 3, A, logit=1.0)])
    [made] = pa.concat_tables(complete_deferred(deferred_files(prefix), [part])).to_pylist()
    assert (made["same_as"], made["logit"]) == ({"unit": "u#1", "index": 3}, 1.0)


def test_a_duplicate_of_an_image_that_was_not_written_gets_no_row(output: str) -> None:
    prefix = deferred_prefix(output, "generation")
    defer_duplicates(verdicts([waiting("v#1", 0, A), waiting("v#1", 1, B)]), prefix)
    part = written(f"{output}/part.parquet", [row("u#1", 0, A), row("u#1", 1, None, status="empty")])
    assert pa.concat_tables(complete_deferred(deferred_files(prefix), [part]))["index"].to_pylist() == [0]


@pytest.mark.parametrize("lost", ["deferred", "part"])
def test_a_file_that_is_gone_or_damaged_is_told_and_no_duplicate_passed_over(output: str, lost: str) -> None:
    prefix = deferred_prefix(output, "generation")
    defer_duplicates(verdicts([waiting("v#1", 0, A)]), prefix)
    part = written(f"{output}/part.parquet", [row("u#1", 0, A)])
    deferred = deferred_files(prefix)
    place = deferred[0] if lost == "deferred" else part
    storage.write(place, b"PAR1 and no more")
    with pytest.raises(StorageError, match="cannot read the verdict table in .*generation-copies-"):
        list(complete_deferred(deferred, [part]))
    storage.remove(place)
    with pytest.raises(StorageError, match="cannot read the verdict table in .*generation-copies-"):
        list(complete_deferred(deferred, [part]))
