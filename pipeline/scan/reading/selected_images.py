"""Selected images: reads the images that a rescan selected, in shards by their byte range, keeping unit and index.

A unit's name has the identity of its bytes. Where the bytes have changed since, the image that was scored is `missing`;
a scan gives the new bytes rows of their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import groupby, islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mole.errors import SettingsError, StorageError
from pipeline.records import CARRIED, TRANSIENT, Status
from pipeline.scan.reading.fetch import READERS, read_unit
from pipeline.scan.reading.image import ReadOptions, Row, make_row, read_image, to_tables, too_large
from pipeline.scan.reading.listing import bytes_of, slice_of
from pipeline.scan.reading.parquet_file import DamagedFileError
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.unit import Kind, Name, Unit
from pipeline.scan.reading.unit_lookup import REFUSED, current_name
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.signed_url import unsigned

PLACE = ("unit", "index", "last")


def fetch_selected(listing: str, group: int, part: tuple[int, int], options: ReadOptions) -> Iterator[pa.Table]:
    """Read the images of a part of a listing's row group, without those of `fetch_whole_unit`.

    Args:
        listing: its URL.
        group: the row group.
        part: number of the part, and number of parts.
        options: the bounds, and the carried columns.

    Returns:
        Tables of `FETCHED` and the carried columns; iterating reads the images.

    Raises:
        StorageError: a store of shards or the listing stopped answering.
    """
    return to_tables(_selected(listing, group, part, options), options.carry)


def fetch_whole_unit(listing: str, unit: str, groups: Sequence[int], options: ReadOptions) -> Iterator[pa.Table]:
    """Read a unit from its beginning for its selected images.

    Returns:
        Tables of `FETCHED` and the carried columns; iterating reads the unit.

    Raises:
        StorageError: the store stopped answering.
    """
    return to_tables(_whole_unit(listing, unit, groups, options), options.carry)


def unit_bytes(unit: str, uri: str) -> int:
    """Return how many bytes reading a whole unit takes; 0 for one that cannot be read."""
    name = Name.parse(unit)
    if name.rows is None:
        return storage.size(uri)
    try:
        piece = slice_of(name, uri)
        return 0 if piece is None else bytes_of(uri, piece)
    except (SettingsError, DamagedFileError, *STORE_FAULTS):
        return 0


def _selected(listing: str, group: int, part: tuple[int, int], options: ReadOptions) -> Iterator[Row]:
    now = cache(current_name)
    selected = _rows(listing, group)
    number, parts = part
    own = selected[len(selected) * number // parts : len(selected) * (number + 1) // parts]
    rows = (row for row in own if not row["entire"])
    readings = (list(reading) for _, reading in groupby(rows, key=lambda row: row["reading"]))
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(readings, READERS)):
            # a disk is read in order; a network serves requests concurrently
            read = readers.map if any("://" in (some[0]["uri"] or "") for some in batch) else map
            for images in read(lambda some: _read_one(some, options, now), batch):
                yield from images


def _whole_unit(listing: str, unit: str, groups: Sequence[int], options: ReadOptions) -> Iterator[Row]:
    rows = (row for group in groups for row in _rows(listing, group))
    chosen = {row["index"]: row for row in rows if row["entire"] and row["unit"] == unit}
    first = next(iter(chosen.values()))
    if (fault := _changed(first, current_name)) is not None:
        yield from (_row_of(row, fault=fault) for row in chosen.values())
        return
    name = Name.parse(unit)
    for row in read_unit(unit_now(name, first["uri"]), replace(options, image_member=name.member)):
        if chosen.pop(row["index"], None) is not None:
            yield row
    reason = Status.MISSING, f"it is no longer in {first['uri']}"
    yield from (_row_of(row, fault=reason) for row in chosen.values())


def unit_now(name: Name, uri: str) -> Unit:
    """Make the unit of a name, from its bytes as they are now."""
    if name.rows is None:
        return Unit(str(name), uri, Kind.SHARD)
    try:
        piece = slice_of(name, uri)
    except (SettingsError, DamagedFileError) as reason:
        piece, fault = None, (Status.TORN_ARCHIVE, str(reason))
    else:
        fault = (Status.MISSING, "these rows no longer exist")
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


def _read_one(chosen: list[Row], options: ReadOptions, now: Callable[[str], str]) -> list[Row]:
    """Read one reading's images: a byte range of a shard, one file, or nothing for a fault that would stay the same."""
    first = chosen[0]
    if first["uri"] is None or _is_final(first):
        return [_row_of(row, fault=(Status(row["status"]), row["detail"])) for row in chosen]
    if (fault := _changed(first, now)) is not None:
        return [_row_of(row, fault=fault) for row in chosen]
    if first["length"] is None:
        read = read_image(first["uri"], first["key"], options, first.get(CARRIED) or {}, listing_of(first))
        return [read | {name: first[name] for name in PLACE}]
    return _read_range(chosen, options)


def _is_final(row: Row) -> bool:
    """Tell whether a row has no bytes of its own (no image, a damaged archive), so that its fault is final."""
    name = Name.parse(row["unit"])
    if row["length"] is not None or row["status"] == Status.OK or not is_own(row, name):
        return False
    # a shard whose reader crashed has one such row without a byte range: only a scan into a new table retries it
    passes = row["status"] in TRANSIENT and row["status"] != Status.CRASHED
    return name.rows is not None or (not passes and is_shard(row["uri"]))


def is_own(row: Mapping[str, Any], name: Name) -> bool:
    """Tell whether an image's bytes are in its unit, and not in a file that its unit lists."""
    return bool(name.url == unsigned(row["uri"]))


def listing_of(row: Mapping[str, Any]) -> str | None:
    """Return the listing that names a row's image; None where the unit is the image itself, or its shard."""
    name = Name.parse(row["unit"])
    return None if row["uri"] is None or is_own(row, name) else name.url


def _changed(row: Row, now: Callable[[str], str]) -> tuple[Status, str] | None:
    name = Name.parse(row["unit"])
    if not is_own(row, name):
        return None  # the unit is a listing, which does not identify the image's bytes
    if name.identity == REFUSED:
        return Status.FORBIDDEN, row["detail"]
    version = Name.parse(now(row["uri"])).identity
    if version == name.identity:
        return None
    if version in (Status.MISSING, Status.FORBIDDEN):
        return Status(version), f"{version} since it was scanned"
    return Status.MISSING, f"its bytes changed since it was scanned ({version}); scan it again"


def _read_range(chosen: list[Row], options: ReadOptions) -> list[Row]:
    """Read images with one ranged read of their shard."""
    uri, start, end = chosen[0]["uri"], chosen[0]["offset"], chosen[-1]["offset"] + chosen[-1]["length"]
    if all(row["length"] > options.max_bytes for row in chosen):
        return [_row_of(row, fault=too_large(row["length"], options)) for row in chosen]
    try:
        data = storage.read_range(uri, start, end)
    except STORE_FAULTS as reason:
        raise StorageError(f"{uri} stopped answering: {fault_of(reason)[1]}; start the rescan again") from reason
    rows = []
    for row in chosen:
        if row["length"] > options.max_bytes:
            rows.append(_row_of(row, fault=too_large(row["length"], options)))
        else:
            first = row["offset"] - start
            rows.append(_row_of(row) | {"data": data[first : first + row["length"]] or None})
    return rows


def _row_of(row: Row, fault: tuple[Status, str] | None = None) -> Row:
    """Make the row of fetch for a selected image, at its existing place."""
    place = {name: row[name] for name in ("unit", "index", "last", "offset", "length", "bytes")}
    return make_row(uri=row["uri"], key=row["key"], fault=fault, carried=row.get(CARRIED) or {}, **place)
