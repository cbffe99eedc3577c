"""Fetch: open a unit and yield its images in order, each with its place and its bytes, or with the reason why not."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from mole.errors import StorageError
from pipeline import stream
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.records import Status
from pipeline.scan.reading import inventory, listing
from pipeline.scan.reading.archive import Tear
from pipeline.scan.reading.image import Row, Wanted, read_image, row_of, tables, too_large
from pipeline.scan.reading.shard import Sample, decompressed, samples, split_name
from pipeline.scan.reading.unit import Kind, Unit

READERS = 16


def fetch(units: Sequence[Unit], wanted: Wanted) -> Iterator[pa.Table]:
    """Read the images of some units that have no row yet.

    Returns:
        Tables of `FETCHED` (and the carried columns), small enough to lie in memory; reading them reads the units.

    Raises:
        StorageError: a store that holds shards or listings stopped answering.
    """
    rows = (row for unit in units for row in read_unit(unit, wanted) if not unit.has(row["index"]))
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
        for index, (row, last) in enumerate(_marked(images)):
            yield row | {"unit": unit.name, "index": index, "last": last}
    except STORE_FAULTS as reason:
        raise StorageError(f"{unit.uri} stopped answering: {fault_of(reason)[1]}; start the scan again") from reason


def _marked(rows: Iterator[Row]) -> Iterator[tuple[Row, bool]]:
    held = next(rows, None)
    for row in rows:
        if held is not None:
            yield held, False
        held = row
    if held is not None:
        yield held, True


def _shard(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a shard's samples, then one row for what is torn in it."""
    ranged = unit.uri.lower().endswith(".tar")
    tears: list[Tear] = []
    empty = True
    with stream.opened(unit.uri) as raw, decompressed(raw, unit.uri) as archive:
        for sample in samples(
            archive, image_member=wanted.image_member, carry=wanted.carry, max_bytes=wanted.max_bytes
        ):
            if isinstance(sample, Tear):
                tears.append(sample)
            elif not _is_cut(sample, tears, wanted):
                empty = False
                yield _sample(sample, unit, wanted, ranged=ranged)
    if tears:
        yield _torn(tears, unit)
    elif empty:
        yield row_of(uri=unit.uri, key=None, fault=(Status.EMPTY, "the shard holds no sample"))


def _is_cut(sample: Sample, tears: list[Tear], wanted: Wanted) -> bool:
    """Tell whether the row of the tear speaks for a sample, whose image is what the tear cut."""
    cut = tears[-1].member if tears else None
    return cut is not None and split_name(cut)[0] == sample.key and sample.image(wanted.image_member) is None


def _torn(tears: list[Tear], unit: Unit) -> Row:
    where = "; ".join(
        f"at byte {tear.offset:,}: {f'{tear.member}: ' if tear.member else ''}{tear.reason}" for tear in tears
    )
    member = tears[-1].member
    key = split_name(member)[0] if member else None
    return row_of(uri=unit.uri, key=key, offset=tears[0].offset, fault=(Status.TORN_ARCHIVE, f"torn {where}"))


def _sample(sample: Sample, unit: Unit, wanted: Wanted, *, ranged: bool) -> Row:
    image = sample.image(wanted.image_member)
    carried = sample.metadata(wanted.carry)
    if image is None:
        found = ", ".join(sample.members) or "nothing"
        reason = f"no {wanted.image_member or 'image'} member; the sample has {found}"
        return row_of(uri=unit.uri, key=sample.key, fault=(Status.UNSUPPORTED, reason), carried=carried)
    place = {"offset": image.offset, "length": image.length} if ranged else {}
    fault = None
    if image.link is not None:
        fault, place = (Status.UNSUPPORTED, f"{image.name} is a link to {image.link} and holds no bytes"), {}
    elif image.data is None:
        fault = too_large(image.length, wanted)
    size = None if image.link is not None else image.length
    row = row_of(uri=unit.uri, key=sample.key, fault=fault, carried=carried, **place)
    return row | {"data": image.data or None, "bytes": size}


def _slice(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a slice's entries, several at a time where a network lies between."""
    if unit.slice is None:
        raise StorageError(f"{unit.name} is planned as a slice without rows")
    if unit.slice.form.startswith("inventory"):
        named = inventory.keys(unit.uri, unit.slice)
        rows: Iterator[listing.Entry] = (listing.Entry(uri, uri, dict.fromkeys(wanted.carry)) for uri in named)
    else:
        rows = listing.entries(unit.uri, unit.slice, wanted.carry)
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(rows, READERS)):
            if any(entry.uri and "://" in entry.uri for entry in batch):
                yield from readers.map(lambda entry: _entry(entry, unit, wanted), batch)
            else:
                yield from (_entry(entry, unit, wanted) for entry in batch)


def _entry(entry: listing.Entry, unit: Unit, wanted: Wanted) -> Row:
    if entry.uri is None:
        fault = (Status.MISSING, f"the row of {unit.uri} names no URI")
        return row_of(uri=None, key=entry.text, fault=fault, carried=entry.carried)
    return read_image(entry.uri, entry.text, wanted, entry.carried)
