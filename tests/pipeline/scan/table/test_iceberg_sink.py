"""Iceberg sink: each wave is one commit, resuming is exact, and every engine reads the same rows."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyiceberg.catalog
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.utils.config import Config
from ray.data.datasource.datasink import WriteResult

from mole.errors import HeldError, SettingsError, StorageError
from pipeline.records import VERDICT, WRITTEN_FILES
from pipeline.scan import flow
from pipeline.scan.table import iceberg_sink, sink
from pipeline.scan.table.iceberg_sink import ADDED, LeasedDatasink
from pipeline.scan.table.lease import LEASE_FILE, Holder
from tests.pictures import faulty, samples, write_shard
from tests.pipeline.scan.conftest import Scan
from tests.verdicts import verdict_row, write_verdicts

TABLE = "lake.trust.verdicts"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog in SQLite, told to pyiceberg as its users tell it."""
    (tmp_path / "warehouse").mkdir()
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{tmp_path}/warehouse")
    monkeypatch.setattr(pyiceberg.catalog, "_ENV_CONFIG", Config())  # it read the environment when it was imported
    return tmp_path


def test_a_scan_into_iceberg_is_committed_by_waves_resumed_exactly_and_read_by_any_engine(
    run: Scan, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_shard(catalog / f"{number}.tar", samples(20, start=20 * number))
    write_shard(catalog / "3.tar", faulty())
    source = f"{catalog}/{{0..3}}.tar"
    plain = run(source, output=catalog / "files")
    monkeypatch.setattr(flow, "MIN_WAVE_TASKS", 3)
    monkeypatch.setattr(flow, "WAVE_TASKS_PER_CORE", 0)
    part = run(source, output=TABLE, sink="iceberg", limit=30)
    assert (part.written, part.law) == (30, "open")
    whole = run(source, output=TABLE, sink="iceberg")
    assert (whole.written, whole.images, whole.law) == (38, 68, "kept")
    assert run(source, output=TABLE, sink="iceberg").written == 0
    assert (plain.statuses, plain.verdicts) == (whole.statuses, whole.verdicts)

    table = load_catalog("lake").load_table("trust.verdicts")
    waves = [snapshot.summary for snapshot in table.snapshots() if snapshot.summary is not None]
    assert sum(int(wave["added-records"] or 0) for wave in waves) == 68
    assert all(wave["mole-scan.generation"] and wave["mole-scan.units-digest"] for wave in waves)
    assert {wave["mole-scan.units"] for wave in waves} <= {"1", "2", "3", "4"}

    rows = table.scan().to_arrow()
    assert rows.column_names == ["model", *VERDICT.names]
    assert rows.num_rows == 68
    files = [task.file.file_path for task in table.scan().plan_files()]
    places = f'SELECT count(DISTINCT (unit, "index")) FROM read_parquet({files})'
    assert duckdb.connect().execute(places).fetchall() == [(68,)]
    assert pl.scan_iceberg(table).filter(pl.col("status") == "ok").collect().height == whole.statuses["ok"]
    assert len(table.scan().to_pandas()) == 68
    other = table.scan(row_filter="model = 'another'")
    assert list(other.plan_files()) == []  # the partition alone tells
    same = pads.dataset(plain.table).to_table().to_pylist()
    logits = {(row["unit"], row["index"]): row["logit"] for row in same}
    for row in rows.to_pylist():
        # each run chooses its precision by measuring: logits move a little, verdicts do not
        assert row["logit"] == pytest.approx(logits[row["unit"], row["index"]], abs=0.05)


def test_columns_that_only_some_runs_have_join_the_table_and_copies_are_not_scored_again(
    run: Scan, catalog: Path
) -> None:
    for number in range(2):
        write_shard(catalog / f"{number}.tar", samples(5))  # the same ones
    (catalog / "loose.jpg").write_bytes(next(iter(samples(1, start=9).values())))
    run(catalog / "0.tar", output=TABLE, sink="iceberg")
    (catalog / "more.jsonl").write_text(
        json.dumps({"uri": str(catalog / "loose.jpg"), "caption": "a heath", "lang": "en"})
    )
    both = (catalog / "more.jsonl", catalog / "1.tar")
    last = run(*both, output=TABLE, sink="iceberg", carry="caption,lang", dedupe="content")
    assert (last.written, last.law) == (6, "kept")
    rows = load_catalog("lake").load_table("trust.verdicts").scan().to_arrow().to_pylist()
    carried = {row["key"]: row["carried"] for row in rows if row["carried"] is not None}
    assert carried.pop(str(catalog / "loose.jpg")) == {"caption": "a heath", "lang": "en"}
    assert list(carried.values()) == [{"caption": None, "lang": None}] * 5
    logits = {row["key"]: row["logit"] for row in rows if row["unit"].startswith(f"{catalog}/0.tar")}
    copies = [row for row in rows if row["same_as"] is not None]
    assert {row["key"]: row["logit"] for row in copies} == logits and len(copies) == 5
    assert {row["same_as"]["unit"].rpartition("#")[0] for row in copies} == {f"{catalog}/0.tar"}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("verdicts", "catalog.namespace.table"), ("nowhere.trust.verdicts", "does not know the catalog")],
)
def test_what_is_no_table_of_a_known_catalog_is_refused(catalog: Path, name: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        sink.open_sink("iceberg", name)


def test_a_table_of_another_schema_is_refused(catalog: Path) -> None:
    made = load_catalog("lake")
    made.create_namespace("trust")
    made.create_table("trust.verdicts", pl.DataFrame({"a": [1]}).to_arrow().schema)
    with pytest.raises(StorageError, match="has verdict schema None"):
        sink.open_sink("iceberg", TABLE)


def test_a_data_file_is_told_by_status_and_verdict_and_by_the_units_that_end_in_it(tmp_path: Path) -> None:
    sound = [verdict_row("a#1", place, last=place == 2) for place in range(3)]
    write_verdicts(tmp_path, [*sound, verdict_row("b#1", 0, status="empty", last=True)])
    with duckdb.connect() as database:
        [told] = (
            database.sql(ADDED.format(files=[str(file) for file in tmp_path.rglob("*.parquet")]))
            .to_arrow_table()
            .to_pylist()
        )
    assert set(told) == {*WRITTEN_FILES.names} - {"content"}
    assert (told["model"], told["rows"], told["faults"], told["units"]) == ("old", 4, 1, 2)
    outcomes = [{"status": "empty", "verdict": None, "images": 1}, {"status": "ok", "verdict": "unsure", "images": 3}]
    assert sorted(told["outcomes"], key=lambda one: one["status"]) == outcomes


def test_a_run_that_lost_its_lease_before_its_first_rows_commits_nothing(
    run: Scan, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(catalog / "0.tar", samples(5))
    flat = iceberg_sink.flat

    def take(verdicts: pa.Table) -> pa.Table:
        """Take the lease away, in the worker that has the first rows."""
        take_lease(catalog)
        return flat(verdicts)

    monkeypatch.setattr(iceberg_sink, "flat", take)
    with pytest.raises(HeldError, match="must not write any more"):
        run(catalog / "0.tar", output=TABLE, sink="iceberg")
    assert load_catalog("lake").load_table("trust.verdicts").current_snapshot() is None


def test_a_run_that_lost_its_lease_between_its_check_and_its_commit_commits_nothing(
    run: Scan, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(catalog / "0.tar", samples(5))
    complete = LeasedDatasink.on_write_complete
    stops: list[bool] = []

    def stop_at_commit(sink: LeasedDatasink, result: WriteResult[Any]) -> None:
        """Commit; after the first check another run takes the lease, and commits a row."""
        check = sink.guard

        def stop_after_check() -> None:
            check()
            if not stops:
                stops.append(True)
                take_lease(catalog)
                commit_row("x")

        def check_with_transient_words() -> None:
            """Fail in words that Ray takes for those of an error that may pass."""
            try:
                stop_after_check()
            except HeldError as reason:
                raise HeldError(f"{reason} (of process 503)") from reason

        sink.guard = check_with_transient_words
        complete(sink, result)

    monkeypatch.setattr(LeasedDatasink, "on_write_complete", stop_at_commit)
    with pytest.raises(HeldError, match="must not write any more"):
        run(catalog / "0.tar", output=TABLE, sink="iceberg")
    assert stops and units() == ["x"]


def test_a_commit_of_others_does_not_end_a_run(run: Scan, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(catalog / "0.tar", samples(5))
    begin = LeasedDatasink.on_write_start

    def commit_meanwhile(sink: LeasedDatasink, schema: pa.Schema | None = None) -> None:
        """Load the table, and let somebody else commit before this run does."""
        begin(sink, schema)
        commit_row("x")

    monkeypatch.setattr(LeasedDatasink, "on_write_start", commit_meanwhile)
    assert run(catalog / "0.tar", output=TABLE, sink="iceberg").written == 5
    assert len(units()) == 6


def take_lease(catalog: Path) -> None:
    """Give the table's lease to a run of another machine."""
    [file] = catalog.rglob(LEASE_FILE)
    file.write_text(json.dumps(asdict(replace(Holder.this_process(), host="another machine"))))


def commit_row(unit: str) -> None:
    """Append a row to the table."""
    table = load_catalog("lake").load_table("trust.verdicts")
    table.append(pa.Table.from_pylist([verdict_row(unit, 0)], table.schema().as_arrow()))


def units() -> list[str]:
    """Name the unit of each row of the table."""
    rows = load_catalog("lake").load_table("trust.verdicts").scan().to_arrow()
    return list(rows["unit"].to_pylist())
