"""Ledger: which units are complete or begun, and how duplicate rows are found and repaired."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from mole.errors import StorageError
from pipeline.records import VERDICT
from pipeline.scan.table.ledger import UNIT_FACTS, UNIT_STATES, Ledger, unreadable, without_temporary_files
from pipeline.scan.table.part import encode, part_name
from pipeline.storage import local, storage
from tests.verdicts import BEGUN, verdict_row, write_verdicts


def rows(unit: str, indices: list[int], last: int) -> pa.Table:
    """Make rows of one unit."""
    made = [
        dict.fromkeys(VERDICT.names) | {"unit": unit, "index": i, "last": i == last, "status": "ok"} for i in indices
    ]
    return pa.Table.from_pylist(made, VERDICT)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A table with a whole unit, one that was begun, and one whose rows were written twice in part."""
    folder = tmp_path / "model=m"
    for table in (
        pa.concat_tables([rows("whole", [0, 1, 2], 2), rows("begun", [0, 1], 3)]),
        rows("begun", [3], 3),
        rows("double", [0, 1, 2, 3], 3),
        rows("double", [2, 3], 3),
    ):
        storage.write(str(folder / part_name(table)), encode(table))
    return Ledger(str(folder))


def states(ledger: Ledger) -> dict[str, tuple[int, bool]]:
    """Read how many rows each unit has, and whether it is whole."""
    with duckdb.connect() as database:
        ledger.attach(database, "places")
        query = UNIT_STATES.format(facts=UNIT_FACTS.format(places="places"))
        return {unit: (rows, whole) for unit, rows, whole in database.sql(query).fetchall()}


def test_a_unit_is_whole_when_it_has_each_index_once(ledger: Ledger) -> None:
    assert states(ledger) == {"whole": (3, True), "begun": (3, False), "double": (6, False)}


def test_repair_leaves_each_row_once_and_touches_nothing_else(ledger: Ledger) -> None:
    assert ledger.repair() == 2
    assert states(ledger) == {"whole": (3, True), "begun": (3, False), "double": (4, True)}
    assert ledger.repair() == 0


def test_repair_keeps_the_schema_and_its_version(ledger: Ledger) -> None:
    ledger.repair()
    for file in storage.list_files(ledger.folder, ".parquet"):
        assert pq.read_schema(file).equals(VERDICT, check_metadata=True)


def test_a_table_that_is_not_there_has_no_units(tmp_path: Path) -> None:
    assert states(Ledger(str(tmp_path / "none"))) == {}


def test_a_file_that_is_no_parquet_is_refused_by_the_tables_name(ledger: Ledger) -> None:
    storage.write(storage.join(ledger.folder, "aaa.parquet"), b"not parquet")
    with pytest.raises(StorageError, match="model=m"):
        states(ledger)


def test_what_killed_writers_left_is_gone_before_a_run_and_after_it_also_where_it_failed(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    left = [tmp_path / f".part-{number}.parquet{local.TEMPORARY_MARK}0" for number in range(2)]
    left[0].write_bytes(b"half")

    def fail() -> None:
        assert not left[0].exists()
        left[1].write_bytes(b"half")
        raise KeyError

    with pytest.raises(KeyError), without_temporary_files([ledger]):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("IO Error: only 85 bytes returned\n\nLINE 1: SELECT unit\n      ^", "IO Error: only 85 bytes returned"),
        (
            'Traceback (most recent call last):\n  File "a.py", line 2\nFileExpired: it is gone',
            "FileExpired: it is gone",
        ),
    ],
)
def test_an_error_of_a_table_has_neither_query_nor_traceback(words: str, told: str) -> None:
    assert str(unreadable("s3://lake/out", duckdb.Error(words))).endswith(f"'s3://lake/out': {told}")


def test_a_table_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    other = rows("u", [0], 0).replace_schema_metadata({b"mole_scan_schema": b"99"})
    storage.write(str(tmp_path / "part-0.parquet"), encode(other))
    with pytest.raises(StorageError, match="'99'"):
        states(Ledger(str(tmp_path)))


def test_repair_keeps_an_images_newest_row_wherever_it_lies(tmp_path: Path) -> None:
    write_verdicts(
        tmp_path,
        [verdict_row("a.tar#1", index, status="missing") for index in range(40)],
        [verdict_row("a.tar#1", 3, last=True, scanned_at=BEGUN + timedelta(days=1))],
        [verdict_row("a.tar#1", index, status="forbidden", scanned_at=BEGUN - timedelta(days=1)) for index in (3, 4)],
    )
    folder = tmp_path / "model=old"
    assert Ledger(str(folder)).repair() == 3
    assert pq.read_table(folder, columns=["index", "status"]).filter(pc.field("index") == 3).to_pylist() == [
        {"index": 3, "status": "ok"}
    ]
    assert pads.dataset(folder).count_rows() == 40
