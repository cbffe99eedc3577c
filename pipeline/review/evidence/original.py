"""Original: the bytes of an image that a verdict table names, if they are still the ones that were judged."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from mole.errors import StorageError
from pipeline.records import PASSING, Status
from pipeline.scan.reading.fetch import READERS, read_unit
from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.reread import is_own, unit_now
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.unit import Name
from pipeline.scan.table.choice import GAP, LONGEST
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.retry import is_never_retried

HASH_BYTES = 16
MOST_BYTES = 64 << 20
BATCH_BYTES = 64 << 20
"""Bytes that are asked for together, or one image where that is larger."""
COLUMNS = ("unit", "index", "uri", "offset", "length", "content_hash")
"""What must be known of an image to read it again; `status` and `detail` beside it spare readings in vain."""

Row = Mapping[str, Any]
"""A row of the verdict table, at least `COLUMNS`."""


@dataclass(frozen=True)
class Unavailable:
    """Why an image's bytes cannot be had: the status that a rescan would give it, and the reason in words."""

    status: Status
    detail: str


Answer = tuple[Row, bytes | Unavailable]
"""A row, with the bytes of its image."""


def original(row: Row) -> bytes | Unavailable:
    """Read one image again; see `originals`."""
    [(_, found)] = originals([row])
    return found


def originals(rows: Iterable[Row]) -> Iterator[Answer]:
    """Read images again: in a shard by byte range, near ones in one request; a unit without ranges from its beginning.

    Args:
        rows: of the verdict table; those of a unit that lie side by side are read together, and least is read where
            they are in its order. They are taken as they are needed: at a time the rows of one unit are held, and the
            bytes of `BATCH_BYTES`.

    Yields:
        Each row once, in the order of the rows (of a unit that is read from its beginning, in the order of that), with
        the file's bytes or the reason why there are none: the store's, or that other bytes lie there now.
    """
    with ThreadPoolExecutor(READERS) as readers:
        for entire, readings in groupby(_readings(rows), key=lambda reading: reading.is_entire):
            if entire:
                for reading in readings:
                    yield from _from_beginning(reading.rows)
                continue
            for together in _batches(readings):
                # a disk is read in order; a network answers many at once
                read = map if is_never_retried(together[0].rows[0]["uri"] or "") else readers.map
                yield from chain.from_iterable(read(_read, together))


@dataclass(frozen=True)
class Reading:
    """Rows that are read together.

    Attributes:
        rows: of one unit, in its order.
        is_entire: whether the unit is read from its beginning for them; else they lie near each other, or are one file.
    """

    rows: list[Row]
    is_entire: bool = False

    @property
    def size(self) -> int:
        """Bytes that are asked for, as far as the table tells."""
        first, last = self.rows[0], self.rows[-1]
        if first["length"] is None:
            return first.get("bytes") or 0
        return int(last["offset"] + last["length"] - first["offset"])

    def continues_with(self, row: Row) -> bool:
        """Return whether one request for all of these and a further row wastes little and stays short."""
        last = self.rows[-1]
        if row["length"] is None or last["length"] is None or row["uri"] != last["uri"]:
            return False
        gap = row["offset"] - last["offset"] - last["length"]
        return bool(0 <= gap <= GAP * row["length"] and self.size + gap + row["length"] <= LONGEST)


def _readings(rows: Iterable[Row]) -> Iterator[Reading]:
    """Put those rows together that are read together."""
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
    """Put readings together that may be under way at the same time."""
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
    """Return whether a scan found no bytes of an image in its unit (a sample without one, a tear): nor would another."""
    return row["content_hash"] is None and row.get("status") not in (None, Status.OK, *PASSING)


def _lacks_range(row: Row) -> bool:
    """Return whether an image is found only by reading its unit from the beginning: no range leads to it."""
    if row["length"] is not None or row["uri"] is None or _has_none(row):
        return False
    name = Name.parse(row["unit"])
    return is_own(dict(row), name) and (name.rows is not None or is_shard(row["uri"]))


def _read(reading: Reading) -> list[Answer]:
    """Read near images in one request, and each alone where that is refused: the end of a shard may be gone."""
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
    if (length or 0) > MOST_BYTES:
        return Unavailable(Status.TOO_LARGE, f"{length:,} bytes, over the bound of {MOST_BYTES:,}")
    try:
        if length is not None:
            return storage.read_range(uri, offset, offset + length)
        data = storage.read(uri, most=MOST_BYTES + 1)
    except STORE_FAULTS as reason:
        return Unavailable(*fault_of(reason))
    return data if len(data) <= MOST_BYTES else Unavailable(Status.TOO_LARGE, f"over the bound of {MOST_BYTES:,} bytes")


def _from_beginning(rows: Sequence[Row]) -> Iterator[Answer]:
    """Read a unit for some of its images; one that is passed without being met is missing."""
    place = next(row for row in rows if _lacks_range(row))
    name, uri = Name.parse(place["unit"]), place["uri"]
    missing = Unavailable(Status.MISSING, f"it was not found again in {uri}")
    left = sorted(rows, key=lambda row: row["index"], reverse=True)
    try:
        for found in read_unit(unit_now(name, uri), Wanted(MOST_BYTES, name.member)):
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
    """Require the bytes that were judged, where the table says which those were."""
    judged = row["content_hash"]
    if isinstance(found, Unavailable) or judged is None:
        return found
    if hashlib.sha256(found).digest()[:HASH_BYTES] == judged:
        return found
    return Unavailable(Status.MISSING, f"other bytes lie in {row['uri']} since it was scanned; scan it again")
