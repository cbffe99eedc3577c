"""Stores that lie: an S3 store behind a proxy whose first answer to each request is spoilt."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.s3_file_system import S3Files
from tests.chaos.lying_store import LyingStore
from tests.letters import letters
from tests.pictures import picture
from tests.stores import REGION, WRITER, Plan, faulty

OBJECTS = {f"photos/{number}.jpg": picture(number) for number in range(7)}
TABLE = pa.table({"number": range(40_000), "text": [str(number) * 9 for number in range(40_000)]})


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
