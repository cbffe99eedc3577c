"""Targets: what fuzzers call with any bytes; each raises where a promise is broken, and returns otherwise."""

import io
import os
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path

from mole.errors import SettingsError
from pipeline.images.container import EXTRACTORS as CONTAINERS
from pipeline.images.decode import INSPECTORS
from pipeline.images.formats.layout import RefusalError
from pipeline.images.formats.magic_bytes import detect_format
from pipeline.images.metadata.block import MAX_FILE_BYTES, MAX_STORE_BYTES
from pipeline.images.provenance import BLOCK_READERS, Declaration
from pipeline.records import Status
from pipeline.scan.reading import listing
from pipeline.scan.reading.archive import Member, members
from pipeline.scan.reading.compression import decompressed
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.parquet_file import DamagedFileError
from pipeline.scan.reading.unit import Kind, Unit

OPTIONS = ReadOptions(max_bytes=1 << 16, carry=("caption",))
MAX_TEXT = 500
"""Characters of a declared fact."""
FORMS = (".csv", ".tsv", ".txt", ".jsonl", ".json")


@cache
def _folder() -> Path:
    """Make this process's folder, in memory where the machine has such a one."""
    shared = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="mole-fuzzing-", dir=shared if os.access(shared, os.W_OK) else None)
    return Path(folder)


def archive(data: bytes) -> None:
    """Read a shard: its reader fails at nothing, numbers its rows, and its byte ranges hold what they say."""
    path = _folder() / "shard.tar"
    path.write_bytes(data)
    unit = Unit(str(path), str(path), Kind.SHARD)
    rows = [row for table in fetch([unit], OPTIONS) for row in table.to_pylist()]
    assert rows, "a shard without a row"
    assert [row["index"] for row in rows] == list(range(len(rows)))
    assert [row["last"] for row in rows] == [False] * (len(rows) - 1) + [True]
    for row in rows:
        assert row["status"] != Status.CRASHED, row["detail"]
        assert row["data"] is None or len(row["data"]) == row["bytes"] <= OPTIONS.max_bytes
        if row["offset"] is not None and row["data"] is not None:
            assert data[row["offset"] : row["offset"] + row["length"]] == row["data"]
    stream, compression = decompressed(io.BytesIO(data))
    for part in members(stream, lambda name, length, head: length <= OPTIONS.max_bytes):
        if isinstance(part, Member) and part.data is not None:
            assert len(part.data) == part.length >= 0
            if part.ranged and compression is None:
                assert data[part.offset : part.offset + part.length] == part.data


def container(data: bytes) -> None:
    """Walk a container of the format that the first byte chooses, and read what its blocks declare."""
    form, body = tuple(CONTAINERS)[data[0] % len(CONTAINERS)] if data else "jpeg", data[1:]
    facts, size = Declaration(), 0
    for block in CONTAINERS[form](body):
        assert len(block.data) <= max(MAX_FILE_BYTES, MAX_STORE_BYTES) or block.data is body
        size += len(block.data) if block.data is not body else 0
        if size > 4 * MAX_FILE_BYTES:
            break
        if block.kind != "c2pa":
            BLOCK_READERS[block.kind](block, facts)
    for value in (facts.facts() or {}).values():
        assert 0 < len(value) <= MAX_TEXT
        assert value.encode()


def header(data: bytes) -> None:
    """Sniff a header and inspect a structure: nothing but a refusal is raised, and a refusal says why."""
    name = detect_format(data)
    if name not in INSPECTORS:
        return
    refusal = None
    try:
        layout = INSPECTORS[name](data)
        assert layout.bytes_per_pixel > 0 and layout.memory >= 0 and layout.passes >= 1
        assert len(layout.data) <= len(data) + 64
    except RefusalError as reason:
        refusal = reason
    assert refusal is None or str(refusal)
    assert refusal is None or refusal.size is None or min(refusal.size) >= 0


def listings(data: bytes) -> None:
    """Read a listing of the form that the first byte chooses: it is refused, or has as many rows as were planned."""
    form, body = FORMS[data[0] % len(FORMS)] if data else ".txt", data[1:]
    path = _folder() / f"listing{form}"
    path.write_bytes(body)
    try:
        pieces = list(islice(listing.slices(str(path)), 100))
        read = [(piece, list(listing.entries(str(path), piece, ("caption",)))) for piece in pieces]
    except (SettingsError, DamagedFileError):
        return
    row = 0
    for piece, found in read:
        assert piece.rows[0] == row
        assert piece.count == len(found), f"{piece.count} rows planned, {len(found)} read"
        row = piece.rows[1]


TARGETS: dict[str, Callable[[bytes], None]] = {
    "archive": archive,
    "container": container,
    "header": header,
    "listings": listings,
}
