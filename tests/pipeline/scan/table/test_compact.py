"""Compaction: a reader of the views sees the same rows at any moment, and a kill loses nothing."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.compact import main
from mole.errors import StorageError
from pipeline.records import VERDICT, VERSION_KEY
from pipeline.scan.plan import Plan
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.scan.settings import CompactSettings
from pipeline.scan.table import lease
from pipeline.scan.table.compact import compact
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.views import ask
from pipeline.storage import storage
from pipeline.storage.guard import Guard
from tests.policies import enforced, policy
from tests.verdicts import BEGUN, verdict_row, write_verdicts

VIEWS = ("current", "faults", "changed", "progress")


def write_table(folder: Path, units: int = 12) -> Path:
    """Write the verdicts of two models, a file for each unit of five images, one of them a fault."""
    for number in range(units):
        unit = f"{number:02}.tar#1"
        place = [{"index": index, "last": index == 4} for index in range(5)]
        old = [verdict_row(unit, **one, verdict="real", status="ok" if number else "truncated") for one in place]
        new = [verdict_row(unit, **one, model="new", scanned_at=BEGUN + timedelta(days=1)) for one in place]
        write_verdicts(folder, old, new)
    return folder


def told(table: Path) -> list[list[dict[str, Any]]]:
    """Ask every view."""
    return [sorted(ask(str(table), f"FROM {view}").to_pylist(), key=str) for view in VIEWS]


def small(table: Path, **more: Any) -> CompactSettings:
    """Ask for files of some units."""
    return CompactSettings(table=str(table), **({"rows_per_file": 20, "grace": 0.0} | more))


def places(folder: Path) -> list[tuple[str, int]]:
    """Read the places of a partition's rows, file by file."""
    return [(row["unit"], row["index"]) for row in pads.dataset(folder, format="parquet").to_table().to_pylist()]


def test_a_reader_of_the_views_sees_the_same_at_every_moment(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    before, seen, ended = told(table), 0, threading.Event()
    answers: list[list[list[dict[str, Any]]]] = []
    joined: list[int] = []

    def read() -> None:
        while not ended.is_set():
            answers.append(told(table))

    reader = threading.Thread(target=read)
    reader.start()
    while not answers:
        time.sleep(0.01)

    def wait(seconds: float) -> None:
        """Let the reader ask while each joined row lies in two files."""
        nonlocal seen
        joined.append(max(len(places(folder)) for folder in table.glob("model=*")))
        target = len(answers) + 3
        while len(answers) < target and reader.is_alive():
            time.sleep(0.01)
        seen = len(answers)

    found = compact(small(table), wait)
    ended.set()
    reader.join()
    assert joined == [120, 120] and seen >= 6 and all(answer == before for answer in answers) and told(table) == before
    assert [(one.rows, one.before, one.after) for one in found] == [(60, 12, 3), (60, 12, 3)]
    assert len(places(table / "model=old")) == len(set(places(table / "model=old"))) == 60


def test_what_is_joined_is_whole_in_order_and_of_the_same_schema_and_a_second_run_finds_nothing(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    compact(small(table, rows_per_file=1000))
    [file] = (table / "model=old").glob("*.parquet")
    assert pq.read_schema(file).equals(VERDICT, check_metadata=True)
    assert places(file) == sorted(places(file))
    ledger = Ledger(str(table / "model=old"))
    with Plan([Unit(f"{number:02}.tar#1", "u", Kind.SHARD) for number in range(12)], [ledger]) as planned:
        planned.check(ledger).require_passed()
    changed = file.stat().st_mtime_ns
    assert [(one.before, one.after) for one in compact(small(table, rows_per_file=1000))] == [(1, 1), (1, 1)]
    assert file.stat().st_mtime_ns == changed


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_rows_stay_whatever_the_sizes_and_no_file_is_above_the_bound_that_was_not(sizes: list[int], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, size in enumerate(sizes):
            write_verdicts(Path(folder), [verdict_row(f"{number}.tar#1", index) for index in range(size)])
        before = sorted(places(Path(folder) / "model=old"))
        compact(small(Path(folder), rows_per_file=most))
        assert sorted(places(Path(folder) / "model=old")) == before
        rows = [pq.read_metadata(file).num_rows for file in Path(folder).glob("*/*.parquet")]
        assert max(rows) <= max(most, *sizes)
        assert len(rows) <= len(sizes)


def test_files_that_another_writer_wrote_without_dictionaries_are_joined_too(tmp_path: Path) -> None:
    table = write_table(tmp_path / "verdicts", units=4)
    before = told(table)
    for path in table.glob("model=*/*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        plain = [pa.field("unit", pa.string()) if field.name == "unit" else field for field in rows.schema]
        pq.write_table(rows.cast(pa.schema(plain, rows.schema.metadata)), path)
    assert [one.after for one in compact(CompactSettings(table=str(table), grace=0))] == [1, 1]
    assert told(table) == before


def test_files_with_other_carried_columns_are_not_mixed(tmp_path: Path) -> None:
    for number in range(6):
        carried = {"carried": {"url": f"u{number}"}} if number % 2 else {}
        write_verdicts(tmp_path, [verdict_row(f"{number}.tar#1", 0, **carried)])
    compact(small(tmp_path))
    schemas = [pq.read_schema(file).names for file in tmp_path.glob("*/*.parquet")]
    assert sorted(map(len, schemas)) == [len(VERDICT.names), len(VERDICT.names) + 1]


def test_a_compaction_killed_in_its_grace_is_mended_by_the_next(root: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path)
    before = told(table)
    command = [sys.executable, "jobs/compact.py", "--table", str(table), "--rows-per-file", "1000", "--grace", "600"]
    run = subprocess.Popen(command, cwd=root)
    end = time.monotonic() + 60
    while len(list(table.glob("*/*.parquet"))) < 25 and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert told(table) == before and max(len(places(folder)) for folder in table.glob("model=*")) == 120
    found = compact(small(table, rows_per_file=1000))
    assert sum(one.repaired for one in found) == 60
    assert told(table) == before and len(places(table / "model=old")) == 60


def test_a_run_that_lost_its_lease_removes_nothing(tmp_path: Path) -> None:
    table = write_table(tmp_path, units=3)

    def lose(seconds: float) -> None:
        storage.remove(str(table / lease.LEASE_FILE))

    with pytest.raises(StorageError, match="must not write any more"):
        compact(small(table), lose)
    assert set(places(table / "model=old")) <= {
        (f"{number:02}.tar#1", index) for number in range(3) for index in range(5)
    }
    assert len(set(places(table / "model=old"))) == len(set(places(table / "model=new"))) == 15


def test_a_run_that_loses_its_lease_while_it_removes_removes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path, units=6)
    remove, removed = storage.remove, []

    def lose(url: str, *, guard: Guard | None = None) -> None:
        remove(url, guard=guard)
        if not url.endswith(lease.LEASE_FILE):
            removed.append(url)
            remove(str(table / lease.LEASE_FILE))

    monkeypatch.setattr("pipeline.scan.table.compact.READERS", 1)
    monkeypatch.setattr(storage, "remove", lose)
    with pytest.raises(StorageError, match="must not write any more"):
        compact(small(table))
    assert len(removed) == 1
    assert len(set(places(table / "model=old"))) == len(set(places(table / "model=new"))) == 30


def test_a_table_that_a_run_holds_is_refused_and_so_is_one_of_another_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path, units=3)
    with lease.Lease(str(table)), pytest.raises(StorageError, match="is held by process"):
        compact(small(table))
    other = pa.Table.from_pylist([], VERDICT).replace_schema_metadata({VERSION_KEY: b"99"})
    pq.write_table(other, table / "model=old" / "part-z.parquet")
    assert main(["--table", str(table), "--grace", "0"]) == 3
    assert "'99'" in capsys.readouterr().err
    assert main(["--table", str(tmp_path / "none")]) == 2


def test_the_command_tells_what_was_joined_and_then_that_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path)
    assert main(["--table", str(table), "--rows-per-file", "20", "--grace", "0"]) == 0
    assert "files before" in capsys.readouterr().out
    assert main(["--table", str(table), "--rows-per-file", "20", "--grace", "0"]) == 0
    assert "nothing to merge" in capsys.readouterr().out


def test_a_table_in_a_store_is_joined_and_read_there_with_the_rights_for_it(
    store: int, tmp_path: Path, root: Path
) -> None:
    table, there = write_table(tmp_path, units=4), "s3://compact/verdicts"
    fs, _ = storage.filesystem(there)
    fs.mkdir("compact")
    for file in table.rglob("*.parquet"):
        storage.write(f"{there}/{file.relative_to(table)}", file.read_bytes())
    with enforced(store, policy(root, "compact", "compact")):
        found = compact(CompactSettings(table=there, rows_per_file=1000, grace=0.0))
    assert [(one.rows, one.before, one.after) for one in found] == [(20, 4, 1), (20, 4, 1)]
    with enforced(store, policy(root, "read", "compact")):
        assert len(storage.list_files(f"{there}/model=old", ".parquet")) == 1
        assert ask(there, "FROM verdicts").num_rows == 40
        with pytest.raises(StorageError, match="cannot write"):
            compact(CompactSettings(table=there, rows_per_file=1000, grace=0.0))
