"""A store that lies is asked again: an error page with status 200, cut answers, resets, refusals; nothing false is a row."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.scan.reading.source import Source
from pipeline.scan.table.ledger import register
from pipeline.storage import bucket, retry, storage, stream
from pipeline.storage.s3_file_system import S3Files
from tests.chaos.lying_store import LyingStore
from tests.letters import letters
from tests.pictures import picture
from tests.stores import REGION, WRITER, Plan, faulty

OBJECTS = {f"photos/{number}.jpg": picture(number) for number in range(7)}
TABLE = pa.table({"number": range(40_000), "text": [str(number) * 9 for number in range(40_000)]})
WANTED = ReadOptions(max_bytes=1 << 20)


def as_parquet(table: pa.Table) -> bytes:
    """Write a table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@contextmanager
def store_of(objects: dict[str, bytes], plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a store whose answers are spoilt as the plan says, and whose listings have two keys a page."""
    kind = type("Lying", (LyingStore,), {"listings": {}})
    with letters(objects, page=2) as (port, _), faulty(port, plan, kind) as proxy:
        for name, value in ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy}"} | WRITER | REGION).items():
            monkeypatch.setenv(name, value)
        S3Files.clear_instance_cache()
        yield
    S3Files.clear_instance_cache()


@pytest.fixture(params=["page", "torn-page", "cut", "reset", "slow", "down"])
def lie(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store whose first answer to each request is a lie, and whose listing has four pages."""
    seen: Counter[str] = Counter()

    def plan(method: str, path: str) -> str | None:
        seen[f"{method} {path}"] += 1
        return str(request.param) if seen[f"{method} {path}"] == 1 else None

    with store_of(OBJECTS | {"table/1.parquet": as_parquet(TABLE)}, plan, monkeypatch):
        yield str(request.param)
        assert max(seen.values()) > 1, "nothing was asked again"


def test_no_page_of_a_listing_is_lost_and_no_image_is_taken_for_another(lie: str) -> None:
    units = list(Source(["s3://lake/photos/"]).units())
    assert [unit.key for unit in units] == [key.removeprefix("photos/") for key in sorted(OBJECTS)]
    for unit in units:
        row = read_image(unit.uri, unit.key, WANTED, {})
        assert (row["status"], row["data"]) == (None, OBJECTS[f"photos/{unit.key}"])
    names = storage.list_files("s3://lake/photos", ".jpg")
    assert names == [f"s3://lake/{key}" for key in sorted(OBJECTS)]


def test_a_stream_and_a_range_have_the_objects_bytes(lie: str) -> None:
    with stream.open_stream("s3://lake/photos/3.jpg") as shard:
        assert shard.read() == OBJECTS["photos/3.jpg"]
    assert storage.read_range("s3://lake/photos/4.jpg", 10, 20) == OBJECTS["photos/4.jpg"][10:20]
    if lie != "cut":  # a whole object that says it is shorter contradicts nothing
        assert storage.read("s3://lake/photos/5.jpg") == OBJECTS["photos/5.jpg"]


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
    names = [f"s3://lake/table/{number}.parquet" for number in range(12)]
    objects = {name.removeprefix("s3://lake/"): as_parquet(TABLE) for name in names}
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "MAX_WAIT", 0.1)
    with store_of(objects, lambda *_: fault if chance.random() < 1 / 3 else None, monkeypatch), duckdb.connect() as db:
        register(db, storage.filesystem(names[0])[0])
        rows = db.sql(f"SELECT sum(number), count(*) FROM read_parquet({names})").fetchall()
    assert rows == [(12 * sum(range(40_000)), 12 * 40_000)]


def test_what_was_written_is_there(lie: str) -> None:
    storage.write("s3://lake/new/a", b"0123456789")
    storage.create("s3://lake/new/b", b"abcdefghij")
    assert storage.read_range("s3://lake/new/a", 0, 10) == b"0123456789"
    assert storage.read_range("s3://lake/new/b", 0, 10) == b"abcdefghij"
    assert not storage.create("s3://lake/new/b", b"another")
    assert storage.read_range("s3://lake/new/b", 5, 10) == b"fghij"


def test_what_exists_and_what_does_not_is_told_apart(lie: str) -> None:
    fs, path = storage.filesystem("s3://lake/table/1.parquet")
    assert fs.exists(path) and not fs.exists("lake/table/2.parquet") and fs.exists("lake/table")
    assert storage.read_range("s3://lake/photos/1.jpg", 0, 9) == OBJECTS["photos/1.jpg"][:9]
    assert storage.exists("s3://lake/photos/1.jpg") and not storage.exists("s3://lake/photos/9.jpg")


@pytest.mark.parametrize(
    ("told", "data"),
    [
        ("bytes 0-9/100", b"0123456789"),  # what was asked for
        ("", b"0123456789" * 3),  # a server that ignores ranges
    ],
)
def test_a_range_that_is_what_was_asked_for_is_taken(told: str, data: bytes) -> None:
    assert bucket.within((0, 10), data, told) == b"0123456789"


@pytest.mark.parametrize(
    "told", ["bytes 0-8/100", "bytes 1-10/100", "bytes 0-9/9", "bytes 0-19/100", "items 0-9/100", "bytes 0-4/5"]
)
def test_another_range_than_was_asked_for_is_refused(told: str) -> None:
    with pytest.raises(OSError, match="range|received"):
        bucket.within((0, 10), b"0123456789", told)
