"""S3 file system: what Arrow and DuckDB read has the objects' rows, whatever the store answers meanwhile."""

import io
import random

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.scan.table.ledger import register
from pipeline.storage import retry, storage
from pipeline.storage.s3_file_system import S3Files
from tests.pipeline.storage.conftest import TABLE, as_parquet, store_of


def test_a_file_that_arrow_reads_has_the_objects_rows(lie: str) -> None:
    fs, path = storage.filesystem("s3://lake/table/1.parquet")
    with fs.open(path, "rb") as stream:
        assert pq.ParquetFile(stream).read() == TABLE


def test_a_file_that_duckdb_reads_has_the_objects_rows(lie: str) -> None:
    with duckdb.connect() as database:
        register(database, storage.filesystem("s3://lake/table/1.parquet")[0])
        rows = database.sql("SELECT sum(number), count(*) FROM read_parquet(['s3://lake/table/1.parquet'])").fetchall()
    assert rows == [(sum(range(40_000)), 40_000)]


@pytest.mark.parametrize("fault", ["slow", "down", "reset", "page"])
def test_duckdb_reads_every_row_though_a_third_of_all_answers_are_spoilt(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    names = [f"s3://lake/table/{number}.parquet" for number in range(4)]
    objects = {name.removeprefix("s3://lake/"): as_parquet(TABLE) for name in names}
    monkeypatch.setattr(S3Files, "retries", 1)  # each failure reaches this project's own retries
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "MAX_WAIT", 0.1)
    with store_of(objects, lambda *_: fault if chance.random() < 1 / 3 else None, monkeypatch), duckdb.connect() as db:
        register(db, storage.filesystem(names[0])[0])
        rows = db.sql(f"SELECT sum(number), count(*) FROM read_parquet({names})").fetchall()
    assert rows == [(4 * sum(range(40_000)), 4 * 40_000)]


@pytest.mark.parametrize("fault", ["slow", "down", "reset"])
def test_a_file_that_arrow_writes_has_its_rows_though_a_third_of_all_answers_are_spoilt(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    monkeypatch.setattr(S3Files, "retries", 1)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "MAX_WAIT", 0.1)
    objects: dict[str, bytes] = {}
    with store_of(objects, lambda *_: fault if chance.random() < 1 / 3 else None, monkeypatch):
        for number in range(12):
            fs, path = storage.filesystem(f"s3://lake/made/{number}.parquet")
            fs.makedirs("s3://lake/made", exist_ok=True)
            with fs.open(path, "wb") as stream:
                pq.write_table(TABLE, stream)
    assert [pq.read_table(io.BytesIO(objects[name])) for name in sorted(objects)] == [TABLE] * 12


def test_an_etag_that_was_told_wrongly_costs_a_second_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def wrong_at_first(method: str, _path: str) -> str | None:
        asked.append(method)
        return "tag" if asked == ["HEAD"] else None

    with store_of({"1.parquet": as_parquet(TABLE)}, wrong_at_first, monkeypatch):
        fs, path = storage.filesystem("s3://lake/1.parquet")
        with fs.open(path, "rb") as stream:
            assert pq.ParquetFile(stream).read() == TABLE
    assert asked[:4] == ["HEAD", "GET", "HEAD", "GET"]


def test_an_object_that_changes_while_it_is_read_is_no_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {"a": bytes(range(200)) * 100_000}
    with store_of(objects, lambda *_: None, monkeypatch):
        fs, path = storage.filesystem("s3://lake/a")
        with fs.open(path, "rb", block_size=1 << 16) as stream:
            assert stream.read(9) == objects["a"][:9]
            objects["a"] = objects["a"][::-1]
            stream.seek(10_000_000)
            with pytest.raises(OSError, match="pre-conditions|changed|Precondition"):
                stream.read(9)
