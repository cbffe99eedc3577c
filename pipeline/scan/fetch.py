"""Fetch: open a unit and yield its images in order, each with its place and its bytes, or with the reason why not."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from mole.errors import SettingsError, StorageError
from pipeline import storage
from pipeline.memory import Snapshot, mount
from pipeline.records import CARRIED, FETCHED, Status, with_carried
from pipeline.scan import listing
from pipeline.scan.archive import Tear
from pipeline.scan.shard import Sample, decompressed, samples, split_name
from pipeline.scan.unit import Kind, Unit

BLOCK_ROWS = 32
BLOCK_BYTES = 16 << 20
READERS = 16


@dataclass(frozen=True)
class Wanted:
    """What a scan wants of each unit.

    Attributes:
        max_bytes: an image above this is not read.
        image_member: the extension that holds a sample's image; None for any image extension.
        carry: the source's own columns that come along.
    """

    max_bytes: int
    image_member: str | None = None
    carry: tuple[str, ...] = ()


Row = dict[str, Any]


def fetch(units: Sequence[Unit], wanted: Wanted) -> Iterator[pa.Table]:
    """Read the images of some units that have no row yet.

    Yields:
        Tables of `FETCHED` (and the carried columns), small enough to lie in memory.

    Raises:
        StorageError: a store that holds shards or listings stopped answering.
    """
    schema = with_carried(FETCHED, wanted.carry)
    rows: list[Row] = []
    held = 0
    for unit in units:
        for row in read_unit(unit, wanted):
            if unit.has(row["index"]):
                continue
            rows.append(row)
            held += len(row["data"] or b"")
            if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                yield pa.Table.from_pylist(rows, schema)
                rows, held = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, schema)


def read_unit(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read every image of a unit, numbered, the last one marked.

    Raises:
        StorageError: the store stopped answering in the middle of a shard or a listing.
    """
    if unit.fault is not None:
        images: Iterator[Row] = iter([_row(uri=unit.uri, key=unit.key, fault=unit.fault)])
    elif unit.kind is Kind.SHARD:
        images = _shard(unit, wanted)
    elif unit.kind is Kind.SLICE:
        images = _slice(unit, wanted)
    else:
        images = iter([_read(unit.uri, unit.key, wanted, {})])
    try:
        for index, (row, last) in enumerate(_marked(images)):
            yield row | {"unit": unit.name, "index": index, "last": last}
    except storage.STORE_FAULTS as reason:
        raise StorageError(
            f"{unit.uri} stopped answering: {storage.fault_of(reason)[1]}; start the scan again"
        ) from reason


def _marked(rows: Iterator[Row]) -> Iterator[tuple[Row, bool]]:
    held = next(rows, None)
    for row in rows:
        if held is not None:
            yield held, False
        held = row
    if held is not None:
        yield held, True


def _row(*, uri: str | None, key: str | None, fault: tuple[Status, str] | None = None, **more: Any) -> Row:
    status, detail = fault or (None, None)
    row: Row = dict.fromkeys(FETCHED.names) | {"uri": uri, "key": key, "status": status, "detail": detail}
    return row | {CARRIED: {}} | more


def _shard(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a shard's samples, then one row for what is torn in it."""
    ranged = unit.uri.lower().endswith(".tar")
    tears: list[Tear] = []
    empty = True
    fs, path = storage.filesystem(unit.uri)
    with fs.open(path, "rb") as raw, decompressed(raw, unit.uri) as stream:
        for sample in samples(stream, image_member=wanted.image_member, carry=wanted.carry, max_bytes=wanted.max_bytes):
            if isinstance(sample, Tear):
                tears.append(sample)
            elif not _is_cut(sample, tears, wanted):
                empty = False
                yield _sample(sample, unit, wanted, ranged=ranged)
    if tears:
        yield _torn(tears, unit)
    elif empty:
        yield _row(uri=unit.uri, key=None, fault=(Status.EMPTY, "the shard holds no sample"))


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
    return _row(uri=unit.uri, key=key, offset=tears[0].offset, fault=(Status.TORN_ARCHIVE, f"torn {where}"))


def _sample(sample: Sample, unit: Unit, wanted: Wanted, *, ranged: bool) -> Row:
    image = sample.image(wanted.image_member)
    carried = sample.metadata(wanted.carry)
    if image is None:
        found = ", ".join(sample.members) or "nothing"
        reason = f"no {wanted.image_member or 'image'} member; the sample has {found}"
        return _row(uri=unit.uri, key=sample.key, fault=(Status.UNSUPPORTED, reason), carried=carried)
    place = {"offset": image.offset, "length": image.length} if ranged else {}
    fault = None
    if image.link is not None:
        fault, place = (Status.UNSUPPORTED, f"{image.name} is a link to {image.link} and holds no bytes"), {}
    elif image.data is None:
        fault = _too_large(image.length, wanted)
    size = None if image.link is not None else image.length
    row = _row(uri=unit.uri, key=sample.key, fault=fault, carried=carried, **place)
    return row | {"data": image.data or None, "bytes": size}


def _too_large(size: int, wanted: Wanted) -> tuple[Status, str]:
    return Status.TOO_LARGE, f"{size:,} bytes, over the bound of {wanted.max_bytes:,}"


def _slice(unit: Unit, wanted: Wanted) -> Iterator[Row]:
    """Read a slice's entries, several at a time where a network lies between."""
    if unit.slice is None:
        raise StorageError(f"{unit.name} is planned as a slice without rows")
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
        return _row(uri=None, key=entry.text, fault=fault, carried=entry.carried)
    return _read(entry.uri, entry.text, wanted, entry.carried)


def _read(uri: str, key: str, wanted: Wanted, carried: dict[str, str | None]) -> Row:
    """Read one file; what its store says against it becomes the row's fault."""
    try:
        uri = storage.absolute(uri)
        data = storage.read(uri, most=wanted.max_bytes + 1)
    except storage.STORE_FAULTS as reason:
        return _row(uri=uri, key=key, fault=storage.fault_of(reason), carried=carried)
    except (SettingsError, ValueError) as reason:
        return _row(uri=uri, key=key, fault=(Status.MISSING, f"not a place to read from: {reason}"), carried=carried)
    if len(data) > wanted.max_bytes:
        return _row(uri=uri, key=key, fault=_too_large(len(data), wanted), carried=carried, bytes=None)
    return _row(uri=uri, key=key, carried=carried, bytes=len(data)) | {"data": data or None}


class UnitSource(Datasource):
    """The door through which Ray Data takes units: one read task a group of them."""

    def __init__(self, groups: Sequence[Sequence[Unit]], wanted: Wanted, memory: Snapshot) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.groups = groups
        self.wanted = wanted
        self.memory = memory

    def estimate_inmemory_data_size(self) -> int | None:
        """Give no estimate: what a shard holds is known once it is read."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """Make a task for each group; `parallelism` is the number of groups."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(partial(_fetch_remotely, group, self.wanted, self.memory), unknown) for group in self.groups]


def _fetch_remotely(units: Sequence[Unit], wanted: Wanted, memory: Snapshot) -> Iterator[pa.Table]:
    mount(memory)
    return fetch(units, wanted)
