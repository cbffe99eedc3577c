"""Original bytes: reads the bytes of an image of a verdict table again, and checks that they are unchanged."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from mole.errors import StorageError
from pipeline.records import TRANSIENT, Status
from pipeline.scan.reading.fetch import READERS, read_unit
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.selected_images import is_own, listing_of, unit_now
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.unit import Name
from pipeline.scan.table.selection import MAX_GAP, MAX_READING_BYTES
from pipeline.storage import storage
from pipeline.storage.access_policy import access_policy_of, trust
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.retry import is_never_retried

HASH_BYTES = 16
MAX_BYTES = 64 << 20
BATCH_BYTES = 64 << 20
"""Maximum bytes of parallel requests, or one image if that is larger."""
COLUMNS = ("unit", "index", "uri", "offset", "length", "content_hash")
"""The columns needed to read an image again; `status` and `detail` avoid futile reads."""

Row = Mapping[str, Any]
"""A row of the verdict table with at least `COLUMNS`."""


@dataclass(frozen=True)
class Unavailable:
    """The reason why an image's bytes are not available: the status that a rescan would give, and a text."""

    status: Status
    detail: str


Answer = tuple[Row, bytes | Unavailable]
"""A row with the bytes of its image."""


def original(row: Row) -> bytes | Unavailable:
    """Read one image again; see `originals`."""
    [(_, found)] = originals([row])
    return found


def originals(rows: Iterable[Row]) -> Iterator[Answer]:
    """Read images again: in a shard by byte range, coalescing near ones; in a unit without ranges from its start.

    Args:
        rows: rows of the verdict table; best sorted by unit and index, since consecutive rows of a unit are read
            together. They are consumed lazily: the rows of one unit and `BATCH_BYTES` bytes are held at a time.

    Yields:
        Each row once, in input order (for a unit read from its start, in the unit's order), with the bytes or the
        reason why they are not available, such as changed content.
    """
    with ThreadPoolExecutor(READERS) as readers:
        for entire, readings in groupby(_readings(rows), key=lambda reading: reading.is_entire):
            if entire:
                for reading in readings:
                    yield from _from_beginning(reading.rows)
                continue
            for together in _batches(readings):
                # local reads are sequential, network reads parallel
                read = map if is_never_retried(together[0].rows[0]["uri"] or "") else readers.map
                yield from chain.from_iterable(read(_read, together))


@dataclass(frozen=True)
class Reading:
    """Rows that are read together.

    Attributes:
        rows: rows of one unit, in its order.
        is_entire: whether the unit is read from its start; else the rows are near each other, or one file.
    """

    rows: list[Row]
    is_entire: bool = False

    @property
    def size(self) -> int:
        """Bytes to read, as far as known."""
        first, last = self.rows[0], self.rows[-1]
        if first["length"] is None:
            return first.get("bytes") or 0
        return int(last["offset"] + last["length"] - first["offset"])

    def continues_with(self, row: Row) -> bool:
        """Return whether a further row should be read in the same request."""
        last = self.rows[-1]
        if row["length"] is None or last["length"] is None or row["uri"] != last["uri"]:
            return False
        gap = row["offset"] - last["offset"] - last["length"]
        return bool(0 <= gap <= MAX_GAP * row["length"] and self.size + gap + row["length"] <= MAX_READING_BYTES)


def _readings(rows: Iterable[Row]) -> Iterator[Reading]:
    """Group rows that are read together."""
    for _, some in groupby(rows, key=lambda row: row["unit"]):
        own = list(some)
        if any(map(_lacks_range, own)):
            yield Reading(own, is_entire=True)
            continue
        near = Reading(own[:1])
        for row in own[1:]:
            if near.continues_with(row):
                near.rows.append(row)
            else:
                yield near
                near = Reading([row])
        yield near


def _batches(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Group readings that may run in parallel."""
    held: list[Reading] = []
    size = 0
    for reading in readings:
        if held and (len(held) == READERS or size + reading.size > BATCH_BYTES):
            yield held
            held, size = [], 0
        held.append(reading)
        size += reading.size
    if held:
        yield held


def _has_none(row: Row) -> bool:
    """Return whether the image has no bytes in its unit, as for a sample without an image or a torn archive."""
    return row["content_hash"] is None and row.get("status") not in (None, Status.OK, *TRANSIENT)


def _lacks_range(row: Row) -> bool:
    """Return whether an image can only be found by reading its unit from the start."""
    if row["length"] is not None or row["uri"] is None or _has_none(row):
        return False
    name = Name.parse(row["unit"])
    return is_own(row, name) and (name.rows is not None or is_shard(row["uri"]))


def _read(reading: Reading) -> list[Answer]:
    """Read near images in one request, or each alone if that fails, since a shard may have been truncated."""
    rows = reading.rows
    if len(rows) > 1:
        start = rows[0]["offset"]
        try:
            data = storage.read_range(rows[0]["uri"], start, start + reading.size)
        except STORE_FAULTS:
            return [(row, _checked(row, _alone(row))) for row in rows]
        begins = [row["offset"] - start for row in rows]
        found = [data[begin : begin + row["length"]] for begin, row in zip(begins, rows, strict=True)]
        return [(row, _checked(row, own)) for row, own in zip(rows, found, strict=True)]
    return [(row, _checked(row, _alone(row))) for row in rows]


def _alone(row: Row) -> bytes | Unavailable:
    uri, offset, length = row["uri"], row["offset"], row["length"]
    if _has_none(row):
        return Unavailable(Status(row["status"]), row.get("detail") or "no bytes")
    if uri is None:
        return Unavailable(Status.MISSING, "its source named no place")
    if (length or 0) > MAX_BYTES:
        return Unavailable(Status.TOO_LARGE, f"{length:,} bytes, over the bound of {MAX_BYTES:,}")
    try:
        if length is not None:
            return storage.read_range(uri, offset, offset + length)
        data = storage.read(uri, max_bytes=MAX_BYTES + 1, policy=access_policy_of(listing_of(row), trust()))
    except STORE_FAULTS as reason:
        return Unavailable(*fault_of(reason))
    return data if len(data) <= MAX_BYTES else Unavailable(Status.TOO_LARGE, f"over the bound of {MAX_BYTES:,} bytes")


def _from_beginning(rows: Sequence[Row]) -> Iterator[Answer]:
    """Read a unit from its start for some of its images; those not found are missing."""
    place = next(row for row in rows if _lacks_range(row))
    name, uri = Name.parse(place["unit"]), place["uri"]
    missing = Unavailable(Status.MISSING, f"it was not found again in {uri}")
    left = sorted(rows, key=lambda row: row["index"], reverse=True)
    try:
        for found in read_unit(unit_now(name, uri), ReadOptions(MAX_BYTES, name.member)):
            while left and left[-1]["index"] < found["index"]:
                yield left.pop(), missing
            while left and left[-1]["index"] == found["index"]:
                fault = Unavailable(Status(found["status"] or Status.EMPTY), found["detail"] or "no bytes")
                row = left.pop()
                yield row, fault if found["data"] is None else _checked(row, found["data"])
            if not left:
                return
    except StorageError as reason:
        missing = Unavailable(Status.UNREACHABLE, str(reason))
    yield from ((row, missing) for row in reversed(left))


def _checked(row: Row, found: bytes | Unavailable) -> bytes | Unavailable:
    """Check that the bytes have the recorded content hash, if there is one."""
    judged = row["content_hash"]
    if isinstance(found, Unavailable) or judged is None:
        return found
    if hashlib.sha256(found).digest()[:HASH_BYTES] == judged:
        return found
    return Unavailable(Status.MISSING, f"the content of {row['uri']} has changed since it was scanned; scan it again")
