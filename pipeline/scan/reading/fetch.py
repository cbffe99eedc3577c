"""Fetch: open a unit and yield its images in order, each with its place and its bytes, or with the reason why not."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from mole.errors import MoleError, StorageError
from pipeline.records import Status
from pipeline.runtime.isolation import server
from pipeline.runtime.task_attempts import is_poison_suspected
from pipeline.scan.reading import inventory, listing
from pipeline.scan.reading.archive import Member, Passed, Tear
from pipeline.scan.reading.compression import decompressed
from pipeline.scan.reading.image import Row, Wanted, held, read_image, row_of, tables, too_large
from pipeline.scan.reading.shard import Sample, is_shard, samples, split_name
from pipeline.scan.reading.torn import TornError
from pipeline.scan.reading.unit import Kind, Slice, Unit
from pipeline.storage import memory, storage, stream
from pipeline.storage.fault import STORE_FAULTS, fault_of

READERS = 16
TOLD = 8
"""Tears of one shard that its row names; the others are counted."""

logger = logging.getLogger(__name__)


def fetch(units: Sequence[Unit], wanted: Wanted) -> Iterator[pa.Table]:
    """Read the images of some units that have no row yet.

    Returns:
        Tables of `FETCHED` (and the carried columns), small enough to lie in memory; reading them reads the units.

    Raises:
        StorageError: a store that holds shards or listings stopped answering.
    """
    read = read_suspected if is_poison_suspected() else read_unit
    rows = (row for unit in units for row in read(unit, wanted) if not unit.has(row["index"]))
    return tables(rows, wanted.carry)


def read_unit(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read every image of a unit, numbered, the last one marked.

    Raises:
        StorageError: the store stopped answering in the middle of a shard or a listing.
    """
    if unit.fault is not None:
        images: Iterator[Row] = iter([row_of(uri=unit.uri, key=unit.key, fault=unit.fault)])
    elif unit.kind is Kind.SHARD:
        images = _shard(unit, wanted)
    elif unit.kind is Kind.SLICE:
        images = _slice(unit, wanted)
    else:
        images = iter([read_image(unit.uri, unit.key, wanted, {})])
    try:
        for index, (row, last) in enumerate(_marked(_guarded(images, unit))):
            yield row | {"unit": unit.name, "index": index, "last": last}
    except STORE_FAULTS as reason:
        raise StorageError(f"{unit.uri} stopped answering: {fault_of(reason)[1]}; start the scan again") from reason


def read_suspected(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a unit that may end the process which reads it: its rows up to there, and one that says so.

    Raises:
        StorageError: the store stopped answering in the middle of a shard or a listing.
    """
    if memory.lives_in_this_process(unit.uri):  # no other process sees it
        yield from read_unit(unit, wanted)
        return
    outcome = server(__name__).call(_counted, unit, wanted)
    if not outcome.died:
        yield from read_unit(unit, wanted)
        return
    sound = len(outcome.results)
    yield from islice(read_unit(unit, wanted), sound)
    row = row_of(uri=unit.uri, key=unit.key or None, fault=(Status.CRASHED, f"reading failed: {outcome.words}"))
    yield row | {"unit": unit.name, "index": sound, "last": True}


def _counted(unit: Unit, wanted: Wanted) -> Iterator[int]:
    """Read a unit and keep nothing of it."""
    return (row["index"] for row in read_unit(unit, wanted))


def _guarded(images: Iterator[Row], unit: Unit) -> Iterator[Row]:
    """End a unit with a row where its reader fails as nobody foresaw, so that no other unit is lost by it."""
    try:
        yield from images
    except (MoleError, *STORE_FAULTS):
        raise
    except Exception as reason:
        logger.exception("%s: its reader failed", unit.uri)
        fault = (Status.CRASHED, f"reading failed: {type(reason).__name__}: {reason}")
        yield row_of(uri=unit.uri, key=unit.key or None, fault=fault)


def _marked(rows: Iterator[Row]) -> Iterator[tuple[Row, bool]]:
    held = next(rows, None)
    for row in rows:
        if held is not None:
            yield held, False
        held = row
    if held is not None:
        yield held, True


def _shard(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a shard's images, then one row for what is torn in it."""
    tears: list[Tear] = []
    passed: Counter[str] = Counter()
    empty = True
    with stream.opened(unit.uri) as raw:
        archive, compression = decompressed(raw)
        for part in samples(archive, image_member=wanted.image_member, carry=wanted.carry, max_bytes=wanted.max_bytes):
            if isinstance(part, Tear):
                tears.append(part)
            elif isinstance(part, Passed):
                passed[part.kind] += 1
            elif not _is_cut(part, tears):
                empty = False
                yield from _sample(part, unit, wanted, compression)
    told = ", ".join(f"{count} of the kind {kind}" for kind, count in passed.items())
    if told:
        logger.info("%s: members passed over: %s", unit.uri, told)
    if tears:
        yield _torn(tears, unit)
    elif empty:
        reason = "the shard holds no sample" + (f"; members passed over: {told}" if told else "")
        yield row_of(uri=unit.uri, key=None, fault=(Status.EMPTY, reason))


def _is_cut(sample: Sample, tears: list[Tear]) -> bool:
    """Tell whether the row of the tear speaks for a sample, whose image is what the tear cut."""
    cut = tears[-1].member if tears else None
    return cut is not None and split_name(cut)[0] == sample.key and not sample.pictures


def _torn(tears: list[Tear], unit: Unit) -> Row:
    where = "; ".join(
        f"at byte {tear.offset:,}: {f'{tear.member}: ' if tear.member else ''}{tear.reason}" for tear in tears[:TOLD]
    )
    more = f"; and at {len(tears) - TOLD:,} more places" if len(tears) > TOLD else ""
    member = tears[-1].member
    key = split_name(member)[0] if member else None
    fault = (Status.TORN_ARCHIVE, f"torn {where}{more}")
    return row_of(uri=unit.uri, key=key, offset=tears[0].offset, fault=fault)


def _sample(sample: Sample, unit: Unit, wanted: Wanted, compression: str | None) -> Iterator[Row]:
    """Give a row to each image of a sample, or one to a sample that has none."""
    for key, extension, image in sample.images():
        fault, data = _bytes(image, unit, wanted, compression)
        carried = sample.metadata(wanted.carry, extension)
        row = row_of(uri=unit.uri, key=key, fault=fault, carried=carried)
        if image.ranged and compression is None:
            row |= {"offset": image.offset, "length": image.length}
        size = None if image.link is not None and not image.ranged else image.length
        yield row | {"data": data or None, "bytes": size}
    if not sample.pictures and not sample.part:
        found = ", ".join(extension or "no extension" for extension in sample.members)
        reason = f"no {wanted.image_member or 'image'} member; the sample has {found}"
        carried = sample.metadata(wanted.carry)
        yield row_of(uri=unit.uri, key=sample.key, fault=(Status.UNSUPPORTED, reason), carried=carried)


def _bytes(
    image: Member, unit: Unit, wanted: Wanted, compression: str | None
) -> tuple[tuple[Status, str] | None, bytes | None]:
    """Find an image's bytes, or the reason why there are none; a hard link's lie with its target, before it."""
    if image.link is not None and not image.ranged:
        return (Status.UNSUPPORTED, f"{image.name} is a link to {image.link} and holds no bytes"), None
    if image.length > wanted.max_bytes:
        return too_large(image.length, wanted), None
    if image.data is not None or not image.length:
        return None, image.data
    if compression is not None:
        where = f"too far before it in a shard compressed by {compression}; pack the shard without links"
        return (Status.UNSUPPORTED, f"{image.name} is a hard link to {image.link}, which lies {where}"), None
    return None, storage.read_range(unit.uri, image.offset, image.offset + image.length)


def _slice(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a slice's entries, several at a time where a network lies between; rows that are damaged say so."""
    if unit.slice is None:
        raise StorageError(f"{unit.name} is planned as a slice without rows")
    given, torn = 0, list[TornError]()
    with ThreadPoolExecutor(READERS) as readers:
        rows = _until_torn(_entries(unit, unit.slice, wanted), torn)
        while batch := list(islice(rows, READERS)):
            # bytes that are there need no reader, and a disk is read in order
            far = any(entry.data is None and "://" in (entry.uri or "") for entry in batch)
            yield from (readers.map if far else map)(lambda entry: _entry(entry, unit, wanted), batch)
            given += len(batch)
    for reason in torn:
        for number in range(given, max(given + 1, unit.images or 0)):
            key = str(unit.slice.rows[0] + number)
            yield row_of(uri=unit.uri, key=key, fault=(Status.TORN_ARCHIVE, f"row {key}: {reason}"))


def _until_torn(rows: Iterator[listing.Entry], torn: list[TornError]) -> Iterator[listing.Entry]:
    """Yield what comes before a damage, and keep what is said of it."""
    try:
        yield from rows
    except TornError as reason:
        torn.append(reason)


def _entries(unit: Unit, piece: Slice, wanted: Wanted) -> Iterator[listing.Entry]:
    if piece.form.startswith("inventory"):
        named = inventory.keys(unit.uri, piece)
        return (listing.Entry(uri, uri, dict.fromkeys(wanted.carry)) for uri in named)
    return listing.entries(unit.uri, piece, wanted.carry)


def _entry(entry: listing.Entry, unit: Unit, wanted: Wanted) -> Row:
    if entry.uri is None:
        reason = entry.fault or f"the row of {unit.uri} names no URI"
        uri = unit.uri if unit.slice is not None and unit.slice.form == "embedded" else None
        return row_of(uri=uri, key=entry.text, fault=(Status.MISSING, reason), carried=entry.carried)
    if entry.data is not None:
        return held(entry.uri, entry.text, entry.data, wanted, entry.carried)
    if is_shard(entry.uri):
        reason = "a shard among images; name it as a source, or list shards alone"
        return row_of(uri=entry.uri, key=entry.text, fault=(Status.UNSUPPORTED, reason), carried=entry.carried)
    return read_image(entry.uri, entry.text, wanted, entry.carried)
