"""Parquet sink: a part is written under the run's lease alone, and a retried write replaces its own file."""

from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from mole.errors import StorageError
from pipeline.records import (
    MODEL,
    VERDICT,
    WRITTEN_FILES,
)
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.parquet_sink import publish
from pipeline.storage import storage


def verdicts(count: int) -> pa.Table:
    """Make rows of a table."""
    rows = [
        dict.fromkeys(VERDICT.names) | {"model": "m", "unit": "u", "index": i, "last": False, "status": "ok"}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, VERDICT.insert(0, pa.field(MODEL, pa.string())))


def test_a_part_is_published_under_the_lease_alone_and_twice_is_once(tmp_path: Path) -> None:
    output, folder = str(tmp_path), str(tmp_path / "model=m")
    with Lease(output) as lease:
        for _ in range(2):
            written = publish(verdicts(5), output=output, generation=lease.generation)
            assert written.schema.equals(WRITTEN_FILES) and written["rows"].to_pylist() == [5]
        assert len(storage.list_files(folder, ".parquet")) == 1
        with pytest.raises(StorageError, match="must not write any more"):
            publish(verdicts(6), output=output, generation="another")
    assert len(storage.list_files(folder, ".parquet")) == 1


def test_what_only_the_driver_can_write_is_handed_to_it() -> None:
    written = publish(verdicts(2), output="memory://o", generation="any").to_pylist()[0]
    assert written["content"][:4] == b"PAR1"
    assert not fsspec.filesystem("memory").exists(written["file"].removeprefix("memory:/"))
