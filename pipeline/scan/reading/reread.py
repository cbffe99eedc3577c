"""Reread: fetch the images that a rescan chose again, inside shards by their byte range, under the place they have.

A row says of which bytes it speaks: the identity in its unit's name. Where other bytes lie now, the image that was
judged is `missing`; a scan gives the new ones rows of their own.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import groupby, islice

import pyarrow as pa
import pyarrow.parquet as pq

from mole.errors import SettingsError, StorageError
from pipeline.records import CARRIED, PASSING, Status
from pipeline.scan.reading.fetch import READERS, read_unit
from pipeline.scan.reading.image import Row, Wanted, read_image, row_of, tables, too_large
from pipeline.scan.reading.listing import bytes_of, slice_of
from pipeline.scan.reading.lookup import name_now
from pipeline.scan.reading.parquet_file import TornError
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.unit import Kind, Name, Unit
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.signature import unsigned

PLACE = ("unit", "index", "last")


def fetch_chosen(listing: str, group: int, part: tuple[int, int], wanted: Wanted) -> Iterator[pa.Table]:
    """Read the images of a row group of a listing, or of a part of it; those of `fetch_entire` are left out.

    Args:
        listing: its URL.
        group: which row group.
        part: which part of how many.
        wanted: the bounds, and the carried columns.

    Returns:
        Tables of `FETCHED` (and the carried columns); reading them reads the images.

    Raises:
        StorageError: a store that holds shards or the listing stopped answering.
    """
    return tables(_chosen(listing, group, part, wanted), wanted.carry)


def fetch_entire(listing: str, unit: str, groups: Sequence[int], wanted: Wanted) -> Iterator[pa.Table]:
    """Read a unit from its beginning for the images of it that a listing holds.

    Returns:
        Tables of `FETCHED` (and the carried columns); reading them reads the unit.

    Raises:
        StorageError: the store stopped answering.
    """
    return tables(_entire(listing, unit, groups, wanted), wanted.carry)


def cost(unit: str, uri: str) -> int:
    """Tell how many bytes are read to read a unit from its beginning; one that cannot be read costs none."""
    name = Name.parse(unit)
    if name.rows is None:
        return storage.size(uri)
    try:
        piece = slice_of(name, uri)
        return 0 if piece is None else bytes_of(uri, piece)
    except (SettingsError, TornError, *STORE_FAULTS):
        return 0


def _chosen(listing: str, group: int, part: tuple[int, int], wanted: Wanted) -> Iterator[Row]:
    now = cache(name_now)
    every = _rows(listing, group)
    number, parts = part
    own = every[len(every) * number // parts : len(every) * (number + 1) // parts]
    rows = (row for row in own if not row["entire"])
    readings = (list(reading) for _, reading in groupby(rows, key=lambda row: row["reading"]))
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(readings, READERS)):
            # a disk is read in order; a network answers many at once
            read = readers.map if any("://" in (some[0]["uri"] or "") for some in batch) else map
            for images in read(lambda some: _read(some, wanted, now), batch):
                yield from images


def _entire(listing: str, unit: str, groups: Sequence[int], wanted: Wanted) -> Iterator[Row]:
    rows = (row for group in groups for row in _rows(listing, group))
    chosen = {row["index"]: row for row in rows if row["entire"] and row["unit"] == unit}
    first = next(iter(chosen.values()))
    if (gone := _gone(first, name_now)) is not None:
        yield from (_again(row, fault=gone) for row in chosen.values())
        return
    name = Name.parse(unit)
    for row in read_unit(unit_now(name, first["uri"]), replace(wanted, image_member=name.member)):
        if chosen.pop(row["index"], None) is not None:
            yield row
    reason = Status.MISSING, f"it was not found again in {first['uri']}"
    yield from (_again(row, fault=reason) for row in chosen.values())


def unit_now(name: Name, uri: str) -> Unit:
    """Make the unit that a name means, as its bytes are now."""
    if name.rows is None:
        return Unit(str(name), uri, Kind.SHARD)
    try:
        piece = slice_of(name, uri)
    except (SettingsError, TornError) as reason:
        piece, fault = None, (Status.TORN_ARCHIVE, str(reason))
    else:
        fault = (Status.MISSING, "no such rows are there any more")
    if piece is None:
        return Unit(str(name), uri, Kind.SLICE, fault=fault)
    return Unit(str(name), uri, Kind.SLICE, images=piece.count, slice=piece)


def _rows(listing: str, group: int) -> list[Row]:
    fs, path = storage.filesystem(listing)
    try:
        with fs.open(path, "rb") as stream:
            return list(pq.ParquetFile(stream).read_row_group(group).to_pylist())
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot read the listing {listing!r}: {fault_of(reason)[1]}") from reason


def _read(chosen: list[Row], wanted: Wanted, now: Callable[[str], str]) -> list[Row]:
    """Read one reading's images: a span of a shard, or one file, or nothing where nothing more can be learned."""
    first = chosen[0]
    if first["uri"] is None or _is_settled(first):
        return [_again(row, fault=(Status(row["status"]), row["detail"])) for row in chosen]
    if (gone := _gone(first, now)) is not None:
        return [_again(row, fault=gone) for row in chosen]
    if first["length"] is None:
        read = read_image(first["uri"], first["key"], wanted, first.get(CARRIED) or {})
        return [read | {name: first[name] for name in PLACE}]
    return _span(chosen, wanted)


def _is_settled(row: Row) -> bool:
    """Tell whether a row has no bytes of its own in its unit (no image, a tear): another reading would say the same."""
    name = Name.parse(row["unit"])
    if row["length"] is not None or row["status"] == Status.OK or not is_own(row, name):
        return False
    # a shard whose reader died has one such row, and no range of it to read: a scan into a new table tries it again
    passes = row["status"] in PASSING and row["status"] != Status.CRASHED
    return name.rows is not None or (not passes and is_shard(row["uri"]))


def is_own(row: Row, name: Name) -> bool:
    """Tell whether an image's bytes are those of its unit, and not of a file that its unit lists."""
    return bool(name.url == unsigned(row["uri"]))


def _gone(row: Row, now: Callable[[str], str]) -> tuple[Status, str] | None:
    name = Name.parse(row["unit"])
    if not is_own(row, name):
        return None  # a listed image: its listing says nothing of its bytes
    version = Name.parse(now(row["uri"])).identity
    if version == name.identity:
        return None
    if version in (Status.MISSING, Status.FORBIDDEN):
        return Status(version), f"{version} since it was scanned"
    return Status.MISSING, f"other bytes lie there since it was scanned ({version}); scan it again"


def _span(chosen: list[Row], wanted: Wanted) -> list[Row]:
    """Cut images out of one ranged read of their shard."""
    uri, start, end = chosen[0]["uri"], chosen[0]["offset"], chosen[-1]["offset"] + chosen[-1]["length"]
    if all(row["length"] > wanted.max_bytes for row in chosen):
        return [_again(row, fault=too_large(row["length"], wanted)) for row in chosen]
    try:
        data = storage.read_range(uri, start, end)
    except STORE_FAULTS as reason:
        raise StorageError(f"{uri} stopped answering: {fault_of(reason)[1]}; start the rescan again") from reason
    rows = []
    for row in chosen:
        if row["length"] > wanted.max_bytes:
            rows.append(_again(row, fault=too_large(row["length"], wanted)))
        else:
            first = row["offset"] - start
            rows.append(_again(row) | {"data": data[first : first + row["length"]] or None})
    return rows


def _again(row: Row, fault: tuple[Status, str] | None = None) -> Row:
    """Write a chosen row as fetch hands it on, at its old place."""
    place = {name: row[name] for name in ("unit", "index", "last", "offset", "length", "bytes")}
    return row_of(uri=row["uri"], key=row["key"], fault=fault, carried=row.get(CARRIED) or {}, **place)
