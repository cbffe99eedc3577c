"""Original: the bytes of an image that a verdict table names, if they are still the ones that were judged."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mole.errors import StorageError
from pipeline import storage
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.records import Status
from pipeline.scan.reading.fetch import read_unit
from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.reread import is_own, unit_now
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.unit import Name

HASH_BYTES = 16
MOST_BYTES = 64 << 20
COLUMNS = ("unit", "index", "uri", "offset", "length", "content_hash")
"""What must be known of an image to read it again."""

Row = Mapping[str, Any]
"""A row of the verdict table, at least `COLUMNS`."""


@dataclass(frozen=True)
class Gone:
    """Why an image's bytes cannot be had: the status that a rescan would give it, and the reason in words."""

    status: Status
    detail: str


def original(row: Row) -> bytes | Gone:
    """Read one image again; see `originals`."""
    [(_, found)] = originals([row])
    return found


def originals(rows: Sequence[Row]) -> Iterator[tuple[Row, bytes | Gone]]:
    """Read images again: by byte range where the table has one, and a unit that has none once from its beginning.

    Args:
        rows: of the verdict table; those of one unit that lie side by side are read together.

    Yields:
        Each row once, those of a unit in the order of the unit, with the file's bytes or the reason why there are none:
        the store's, or that other bytes lie there now.
    """
    for unit, some in groupby(rows, key=lambda row: row["unit"]):
        alone, entire = [], {}
        for row in some:
            if _is_entire(row):
                entire[row["index"]] = row
            else:
                alone.append(row)
        for row in alone:
            yield row, _checked(row, _read(row))
        if entire:
            yield from _from_beginning(unit, entire)


def _is_entire(row: Row) -> bool:
    """Tell whether an image is found only by reading its unit from the beginning: no range leads to it."""
    if row["length"] is not None or row["uri"] is None:
        return False
    name = Name.parse(row["unit"])
    return is_own(dict(row), name) and (name.rows is not None or is_shard(row["uri"]))


def _read(row: Row) -> bytes | Gone:
    uri, offset, length = row["uri"], row["offset"], row["length"]
    if uri is None:
        return Gone(Status.MISSING, "its source named no place")
    if (length or 0) > MOST_BYTES:
        return Gone(Status.TOO_LARGE, f"{length:,} bytes, over the bound of {MOST_BYTES:,}")
    try:
        if length is not None:
            return storage.read_range(uri, offset, offset + length)
        data = storage.read(uri, most=MOST_BYTES + 1)
    except STORE_FAULTS as reason:
        return Gone(*fault_of(reason))
    return data if len(data) <= MOST_BYTES else Gone(Status.TOO_LARGE, f"over the bound of {MOST_BYTES:,} bytes")


def _from_beginning(unit: str, wanted: dict[int, Row]) -> Iterator[tuple[Row, bytes | Gone]]:
    name = Name.parse(unit)
    uri = next(iter(wanted.values()))["uri"]
    try:
        for found in read_unit(unit_now(name, uri), Wanted(MOST_BYTES, name.member)):
            row = wanted.pop(found["index"], None)
            if row is not None:
                fault = Gone(Status(found["status"] or Status.EMPTY), found["detail"] or "no bytes")
                yield row, fault if found["data"] is None else _checked(row, found["data"])
            if not wanted:
                return
    except StorageError as reason:
        yield from ((row, Gone(Status.UNREACHABLE, str(reason))) for row in wanted.values())
        return
    yield from ((row, Gone(Status.MISSING, f"it was not found again in {uri}")) for row in wanted.values())


def _checked(row: Row, found: bytes | Gone) -> bytes | Gone:
    """Insist on the bytes that were judged, where the table says which those were."""
    judged = row["content_hash"]
    if isinstance(found, Gone) or judged is None:
        return found
    if hashlib.sha256(found).digest()[:HASH_BYTES] == judged:
        return found
    return Gone(Status.MISSING, f"other bytes lie in {row['uri']} since it was scanned; scan it again")
