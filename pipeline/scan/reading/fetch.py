"""Fetch: reads the images of units in order, each with its place and its bytes, or with its fault."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from mole.errors import MoleError, StorageError
from pipeline.records import Status
from pipeline.runtime.isolation import fork_server
from pipeline.runtime.task_attempts import is_poison_suspected
from pipeline.scan.reading import inventory, listing
from pipeline.scan.reading.archive import ArchiveFault, Member, SkippedEntry
from pipeline.scan.reading.compression import decompressed
from pipeline.scan.reading.image import ReadOptions, Row, embedded_row, make_row, read_image, to_tables, too_large
from pipeline.scan.reading.parquet_file import DamagedFileError
from pipeline.scan.reading.shard import Sample, is_shard, samples, split_name
from pipeline.scan.reading.unit import Kind, Slice, Unit
from pipeline.storage import memory, storage, stream
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.telemetry.redaction import redacted

READERS = 16
MAX_FAULTS = 8
"""Faults of one shard that its row names; the others are counted."""
MAX_NAMED = 32
"""Members of a sample without an image that its row names."""

logger = logging.getLogger(__name__)


def fetch(units: Sequence[Unit], options: ReadOptions) -> Iterator[pa.Table]:
    """Read the images of some units that have no row yet.

    Returns:
        Tables of `FETCHED` and the carried columns, of bounded size; iterating reads the units.

    Raises:
        StorageError: a store of shards or listings stopped answering.
    """
    read = read_suspected if is_poison_suspected() else read_unit
    rows = (row for unit in units for row in read(unit, options) if not unit.has(row["index"]))
    return to_tables(rows, options.carry)


def read_unit(unit: Unit, options: ReadOptions) -> Iterator[Row]:
    """Read every image of a unit, with its index; the last one is marked.

    Raises:
        StorageError: the store stopped answering in the middle of a shard or a listing.
    """
    if unit.fault is not None:
        images: Iterator[Row] = iter([make_row(uri=unit.uri, key=unit.key, fault=unit.fault)])
    elif unit.kind is Kind.SHARD:
        images = _shard(unit, options)
    elif unit.kind is Kind.SLICE:
        images = _slice(unit, options)
    else:
        images = iter([read_image(unit.uri, unit.key, options, {})])
    try:
        for index, (row, last) in enumerate(_marked(_guarded(images, unit))):
            yield row | {"unit": unit.name, "index": index, "last": last}
    except STORE_FAULTS as reason:
        raise StorageError(f"{unit.uri} stopped answering: {fault_of(reason)[1]}; start the scan again") from reason


def read_suspected(unit: Unit, options: ReadOptions) -> Iterator[Row]:
    """Read a unit that may crash its reader: the rows before the crash, and one row with that fault.

    Raises:
        StorageError: the store stopped answering in the middle of a shard or a listing.
    """
    if memory.lives_in_this_process(unit.uri):  # no other process can read it
        yield from read_unit(unit, options)
        return
    outcome = fork_server(__name__).call(_indices, unit, options)
    if not outcome.died:
        yield from read_unit(unit, options)
        return
    sound = len(outcome.results)
    yield from islice(read_unit(unit, options), sound)
    row = make_row(uri=unit.uri, key=unit.key or None, fault=(Status.CRASHED, f"reading failed: {outcome.cause}"))
    yield row | {"unit": unit.name, "index": sound, "last": True}


def _indices(unit: Unit, options: ReadOptions) -> Iterator[int]:
    """Read a unit, and yield only the indices."""
    return (row["index"] for row in read_unit(unit, options))


def _guarded(images: Iterator[Row], unit: Unit) -> Iterator[Row]:
    """Turn an unexpected exception of a reader into a last row with that fault, so that other units are not lost."""
    try:
        yield from images
    except (MoleError, *STORE_FAULTS):
        raise
    except Exception as reason:
        logger.exception("%s: its reader failed", redacted(unit.uri))
        fault = (Status.CRASHED, f"reading failed: {type(reason).__name__}: {reason}")
        yield make_row(uri=unit.uri, key=unit.key or None, fault=fault)


def _marked(rows: Iterator[Row]) -> Iterator[tuple[Row, bool]]:
    previous = next(rows, None)
    for row in rows:
        if previous is not None:
            yield previous, False
        previous = row
    if previous is not None:
        yield previous, True


def _shard(unit: Unit, options: ReadOptions) -> Iterator[Row]:
    """Read a shard's images, then one row for the faults of its archive."""
    faults: list[ArchiveFault] = []  # the first ones and the last one
    count = 0
    skipped: Counter[str] = Counter()
    empty = True
    with stream.open_stream(unit.uri, options.access_policy(unit.listing)) as raw:
        archive, compression = decompressed(raw)
        for part in samples(
            archive, image_member=options.image_member, carry=options.carry, max_bytes=options.max_bytes
        ):
            if isinstance(part, ArchiveFault):
                count += 1
                faults[MAX_FAULTS:] = [part]
            elif isinstance(part, SkippedEntry):
                skipped[part.kind] += 1
            elif not _is_cut(part, faults):
                empty = False
                yield from _sample(part, unit, options, compression)
    kinds = ", ".join(f"{kind} ({count})" for kind, count in skipped.items())
    if kinds:
        logger.info("%s: entries skipped: %s", redacted(unit.uri), kinds)
    if faults:
        yield _torn(faults, count, unit)
    elif empty:
        reason = "the shard holds no sample" + (f"; entries skipped: {kinds}" if kinds else "")
        yield make_row(uri=unit.uri, key=None, fault=(Status.EMPTY, reason))


def _is_cut(sample: Sample, faults: list[ArchiveFault]) -> bool:
    """Tell whether the last fault cut a sample's image, so that the fault's row stands for the sample."""
    cut = faults[-1].member if faults else None
    return cut is not None and split_name(cut)[0] == sample.key and not sample.pictures


def _torn(faults: list[ArchiveFault], count: int, unit: Unit) -> Row:
    """Make the row of a damaged archive, with as many faults."""
    places = "; ".join(
        f"at byte {fault.offset:,}: {f'{fault.member}: ' if fault.member else ''}{fault.reason}"
        for fault in faults[:MAX_FAULTS]
    )
    more = f"; and at {count - MAX_FAULTS:,} more places" if count > MAX_FAULTS else ""
    member = faults[-1].member
    key = split_name(member)[0] if member else None
    reason = f"torn {places}{more}"
    return make_row(uri=unit.uri, key=key, offset=faults[0].offset, fault=(Status.TORN_ARCHIVE, reason))


def _sample(sample: Sample, unit: Unit, options: ReadOptions, compression: str | None) -> Iterator[Row]:
    """Yield a row for each image of a sample, or one row for a sample without an image."""
    for key, extension, image in sample.images():
        fault, data = _bytes(image, unit, options, compression)
        carried = sample.metadata(options.carry, extension)
        row = make_row(uri=unit.uri, key=key, fault=fault, carried=carried)
        if image.ranged and compression is None:
            row |= {"offset": image.offset, "length": image.length}
        size = None if image.link is not None and not image.ranged else image.length
        yield row | {"data": data or None, "bytes": size}
    if not sample.pictures and not sample.part:
        found = ", ".join(extension or "no extension" for extension in islice(sample.members, MAX_NAMED))
        reason = f"no {options.image_member or 'image'} member; the sample has {found}"
        carried = sample.metadata(options.carry)
        yield make_row(uri=unit.uri, key=sample.key, fault=(Status.UNSUPPORTED, reason), carried=carried)


def _bytes(
    image: Member, unit: Unit, options: ReadOptions, compression: str | None
) -> tuple[tuple[Status, str] | None, bytes | None]:
    """Return an image's fault or its bytes; a hard link's bytes are those of its target, before it in the archive."""
    if image.link is not None and not image.ranged:
        return (Status.UNSUPPORTED, f"{image.name} is a link to {image.link} and holds no bytes"), None
    if image.length > options.max_bytes:
        return too_large(image.length, options), None
    if image.data is not None or not image.length:
        return None, image.data
    if compression is not None:
        reason = f"too far before it in a shard compressed by {compression}; pack the shard without links"
        return (Status.UNSUPPORTED, f"{image.name} is a hard link to {image.link}, which is {reason}"), None
    policy = options.access_policy(unit.listing)
    return None, storage.read_range(unit.uri, image.offset, image.offset + image.length, policy=policy)


def _slice(unit: Unit, options: ReadOptions) -> Iterator[Row]:
    """Read a slice's entries, concurrently over a network; damaged rows get their fault."""
    if unit.slice is None:
        raise StorageError(f"{unit.name} is planned as a slice without rows")
    given, damage = 0, list[DamagedFileError]()
    with ThreadPoolExecutor(READERS) as readers:
        rows = _until_damaged(_entries(unit, unit.slice, options), damage)
        while batch := list(islice(rows, READERS)):
            # embedded bytes need no request, and a disk is read in order
            is_remote = any(entry.data is None and "://" in (entry.uri or "") for entry in batch)
            yield from (readers.map if is_remote else map)(lambda entry: _entry(entry, unit, options), batch)
            given += len(batch)
    for reason in damage:
        for number in range(given, max(given + 1, unit.images or 0)):
            key = str(unit.slice.rows[0] + number)
            yield make_row(uri=unit.uri, key=key, fault=(Status.TORN_ARCHIVE, f"row {key}: {reason}"))


def _until_damaged(rows: Iterator[listing.Entry], damage: list[DamagedFileError]) -> Iterator[listing.Entry]:
    """Yield the entries before a damaged place, and append its error to `damage`."""
    try:
        yield from rows
    except DamagedFileError as reason:
        damage.append(reason)


def _entries(unit: Unit, piece: Slice, options: ReadOptions) -> Iterator[listing.Entry]:
    if piece.form.startswith("inventory"):
        named = inventory.keys(unit.uri, piece)
        return (listing.Entry(uri, uri, dict.fromkeys(options.carry)) for uri in named)
    return listing.entries(unit.uri, piece, options.carry)


def _entry(entry: listing.Entry, unit: Unit, options: ReadOptions) -> Row:
    if entry.uri is None:
        reason = entry.fault or f"the row of {unit.uri} has no URI"
        uri = unit.uri if unit.slice is not None and unit.slice.form == "embedded" else None
        return make_row(uri=uri, key=entry.text, fault=(Status.MISSING, reason), carried=entry.carried)
    if entry.data is not None:
        return embedded_row(entry.uri, entry.text, entry.data, options, entry.carried)
    if is_shard(entry.uri):
        reason = "a shard among images; name it as a source, or list shards alone"
        return make_row(uri=entry.uri, key=entry.text, fault=(Status.UNSUPPORTED, reason), carried=entry.carried)
    return read_image(entry.uri, entry.text, options, entry.carried, unit.uri)
