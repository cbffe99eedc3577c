"""S3 Inventory: the store's own listing of a bucket, split into slices of images; each of its shards is a unit.

An inventory lists a bucket, not a selection of images, so other files are skipped and counted, as in a folder.
Source: Amazon's documentation of S3 Inventory: the manifest, and the columns in Parquet and CSV.
"""

import csv
import json
import posixpath
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote_plus

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mole.errors import SettingsError
from pipeline.images.extension import IMAGE_EXTENSIONS
from pipeline.records import Status
from pipeline.scan.reading.compression import DamageError, Readable, decompressed
from pipeline.scan.reading.parquet_file import DamagedFileError, open_parquet
from pipeline.scan.reading.shard import SHARD_NAME
from pipeline.scan.reading.unit import Kind, Name, Slice, Unit
from pipeline.storage import storage
from pipeline.storage.file_info import FileInfo
from pipeline.storage.retry import with_retries
from pipeline.storage.stream import open_stream

MANIFEST = "manifest.json"
ROWS_PER_SLICE = 4096
"""Rows of an inventory in one unit, so that a billion images are a quarter of a million units."""
FILES_AHEAD = 4
"""Files of an inventory that are read concurrently."""
MAX_RECORD_BYTES = 64 << 10
"""Bytes of a CSV's record: a key has at most 3 KiB URL-encoded, an access control list some 30 KiB."""
MAX_BATCH_BYTES = 64 << 20
"""Memory of a CSV's records that are held at a time; those of a slice take 4 MiB."""
FIELD_BYTES = 64
"""Memory of a field beside its text."""
CHUNK = 1 << 18
COLUMNS = {
    "Bucket": "bucket",
    "Key": "key",
    "Size": "size",
    "ETag": "e_tag",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
}
"""The columns that are read, by their name in a CSV's schema and in a Parquet file."""
SHARD = SHARD_NAME.pattern
IMAGE = rf"\.({'|'.join(sorted(IMAGE_EXTENSIONS))})$"


@dataclass(frozen=True)
class DataFile:
    """One data file of an inventory.

    Attributes:
        url: its URL.
        form: `inventory-parquet` or `inventory-csv`.
        names: the columns of a CSV, in order; empty for Parquet.
    """

    url: str
    form: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """The units of one data file.

    Attributes:
        slices: its images, some thousand a unit.
        shards: its shards.
        others: how many of its keys are neither.
    """

    slices: list[Unit]
    shards: list[Unit]
    others: int


def is_inventory(url: str) -> bool:
    """Tell by its name whether a file is an inventory's manifest."""
    return posixpath.basename(storage.without_query(url)) == MANIFEST


def units(manifest: str, on_skipped: Callable[[int], None]) -> Iterator[Unit]:
    """Split an inventory into units, file by file; none of it is kept in memory.

    Args:
        manifest: the URL of its `manifest.json`.
        on_skipped: called with the number of keys that are neither image nor shard.

    Raises:
        SettingsError: it is not a manifest, or its files have an unsupported format.
        OSError: the store failed (or another of `STORE_FAULTS`).
    """
    waiting = iter(data_files(manifest))
    with ThreadPoolExecutor(FILES_AHEAD) as readers:
        coming: list[Future[Contents]] = [readers.submit(_read, part) for part in islice(waiting, FILES_AHEAD)]
        while coming:
            contents = coming.pop(0).result()
            coming += [readers.submit(_read, part) for part in islice(waiting, 1)]
            on_skipped(contents.others)
            yield from contents.shards
            yield from contents.slices


def data_files(manifest: str) -> list[DataFile]:
    """Read the data files of a manifest.

    Raises:
        SettingsError: it is not a manifest of an S3 Inventory, or its files have an unsupported format.
    """
    try:
        content = json.loads(storage.read(manifest))
        form, files = str(content["fileFormat"]).lower(), [str(file["key"]) for file in content["files"]]
        bucket = str(content["destinationBucket"]).rpartition(":")[2]
        schema = str(content["fileSchema"])
    except (ValueError, KeyError, TypeError) as reason:
        raise SettingsError(f"{manifest} is not a manifest of an S3 Inventory: {reason!r}") from reason
    if form not in ("parquet", "csv"):
        raise SettingsError(f"{manifest}: the format {form!r} is not supported; set the inventory to Parquet or CSV")
    names = tuple(name.strip() for name in schema.split(",")) if form == "csv" else ()
    if form == "csv" and "Key" not in names:
        raise SettingsError(f"{manifest} has the columns {list(names)} and no Key")
    return [DataFile(_place(manifest, bucket, key), f"inventory-{form}", names) for key in files]


def _place(manifest: str, bucket: str, key: str) -> str:
    """Locate a data file: in its bucket, or in `../data/` of a manifest that was copied elsewhere."""
    scheme, sign, _ = manifest.partition("://")
    if sign and scheme in ("s3", "s3a"):
        return f"{scheme}://{bucket}/{key}"
    return storage.join(posixpath.dirname(posixpath.dirname(manifest)), "data", posixpath.basename(key))


def _read(part: DataFile) -> Contents:
    """Read the keys of one data file, a batch of rows at a time; a damaged file is a unit with its fault."""
    fs, path = storage.filesystem(part.url)
    place = storage.file_info(fs, with_retries(lambda: fs.info(path), part.url))
    try:
        return _contents(part, place)
    except DamagedFileError as reason:
        name, key = str(Name(place.url, place.identity)), posixpath.basename(place.url)
        fault = (Status.TORN_ARCHIVE, str(reason))
        return Contents([Unit(name, place.url, Kind.FILE, key=key, images=1, size=place.size, fault=fault)], [], 0)


def _contents(part: DataFile, place: FileInfo) -> Contents:
    slices: list[Unit] = []
    shard_units: list[Unit] = []
    others = 0
    for first, group, row, batch in _batches(part):
        images, shards = _match(batch, IMAGE), _match(batch, SHARD)
        others += int((~images & ~shards).sum())
        shard_units.extend(_shards(batch.filter(pa.array(shards))))
        for start in range(0, batch.num_rows, ROWS_PER_SLICE):
            count = min(ROWS_PER_SLICE, batch.num_rows - start)
            found = int(images[start : start + count].sum())
            rows = (first + start, first + start + count)
            piece = Slice(part.form, rows, (group, row + start), part.names, "key")
            name = f"{place.url}#{place.identity}:{rows[0]}-{rows[1]}"
            if found:
                slices.append(Unit(name, place.url, Kind.SLICE, images=found, slice=piece))
    return Contents(slices, shard_units, others)


def _match(batch: pa.RecordBatch, pattern: str) -> npt.NDArray[np.bool_]:
    """Tell which keys match a pattern, as bool (rows,); replaced and deleted versions never do."""
    found = pc.match_substring_regex(batch["key"], pattern, ignore_case=True)
    for name, wanted in (("is_latest", True), ("is_delete_marker", False)):
        if name in batch.schema.names:
            found = pc.and_(found, pc.equal(pc.coalesce(batch[name], pa.scalar(wanted)), pa.scalar(wanted)))
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), np.bool_)


def _shards(batch: pa.RecordBatch) -> Iterator[Unit]:
    """Make units of shards, named as a listing of their store names them."""
    for row in batch.to_pylist():
        url, size = f"s3://{row['bucket']}/{row['key']}", row.get("size")
        tag = str(row.get("e_tag") or "").strip('"')
        yield Unit(f"{url}#{tag or size}", url, Kind.SHARD, size=size)


def keys(url: str, piece: Slice) -> Iterator[str]:
    """Read the images of one slice.

    Args:
        url: the data file.
        piece: the slice.

    Yields:
        The URI of each image, in order.

    Raises:
        DamagedFileError: the data file is damaged.
        OSError: the store failed.
    """
    if piece.form == "inventory-csv":
        chosen = islice(_records(url), piece.rows[0], piece.rows[1])
        yield from (uri for lines in _pieces(chosen) for uri in _uris(_as_batch(lines, piece.columns)))
        return
    with open_parquet(url) as file:
        table = file.read_row_group(piece.span[0], columns=_present(file))
    count = piece.rows[1] - piece.rows[0]
    yield from _uris(table.slice(piece.span[1], count).combine_chunks().to_batches()[0])


def _uris(batch: pa.RecordBatch) -> Iterator[str]:
    for row in batch.filter(pa.array(_match(batch, IMAGE))).to_pylist():
        yield f"s3://{row['bucket']}/{row['key']}"


def _batches(part: DataFile) -> Iterator[tuple[int, int, int, pa.RecordBatch]]:
    """Yield a file's rows in batches: the first row's number in the file, its row group, its number there, the rows."""
    if part.form == "inventory-csv":
        first = 0
        for lines in _pieces(_records(part.url)):
            yield first, 0, first, _as_batch(lines, part.names)
            first += len(lines)
        return
    with open_parquet(part.url) as file:
        columns, first = _present(file), 0
        for group in range(file.num_row_groups):
            row = 0
            for batch in file.iter_batches(16 * ROWS_PER_SLICE, row_groups=[group], columns=columns):
                yield first, group, row, batch
                first, row = first + batch.num_rows, row + batch.num_rows


def _present(file: pq.ParquetFile) -> list[str]:
    names = file.schema_arrow.names
    if not {"bucket", "key"} <= set(names):
        raise SettingsError(f"an inventory's file has the columns {names}; it needs bucket and key")
    return [name for name in COLUMNS.values() if name in names]


def _records(url: str) -> Iterator[list[str]]:
    """Read a CSV file's records, one a line, from its beginning, since most files are compressed as a whole."""
    with open_stream(url) as stream:
        try:
            text, _ = decompressed(stream)
            yield from filter(None, (next(csv.reader([line])) for line in _lines(text)))
        except (DamageError, csv.Error) as reason:
            raise DamagedFileError(f"{url} is damaged: {reason}") from reason


def _lines(text: Readable) -> Iterator[str]:
    """Split a stream into lines; no more than one of them is held, beside a chunk of the stream."""
    rest = b""
    while chunk := text.read(CHUNK):
        *whole, rest = (rest + chunk).splitlines(keepends=True)
        if rest.endswith((b"\r", b"\n")):
            whole, rest = [*whole, rest], b""
        if longest := next((line for line in [*whole, rest] if len(line) > MAX_RECORD_BYTES), None):
            raise DamageError(f"a record has more than {MAX_RECORD_BYTES:,} bytes: {longest[:80]!r}", given=False)
        yield from (line.decode("utf-8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")


def _pieces(records: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """Group records by slices; those of hostile size by less, so that memory is bounded."""
    held: list[list[str]] = []
    size = 0
    for record in records:
        held.append(record)
        size += sum(map(len, record)) + FIELD_BYTES * len(record)
        if len(held) >= ROWS_PER_SLICE or size >= MAX_BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _as_batch(lines: list[list[str]], names: tuple[str, ...]) -> pa.RecordBatch:
    """Convert a CSV's records to the columns and types of a Parquet inventory; its keys are URL-encoded."""
    if uneven := [line for line in lines if len(line) != len(names)]:
        raise DamagedFileError(f"the row {uneven[0]!r:.200} does not have the columns {list(names)}")
    own = {COLUMNS[name]: [line[number] for line in lines] for number, name in enumerate(names) if name in COLUMNS}
    own["key"] = [unquote_plus(key) for key in own["key"]]
    columns: dict[str, pa.Array] = {}
    for name, values in own.items():
        if name == "size":
            columns[name] = pa.array([int(value) if value.isdigit() else None for value in values], pa.int64())
        elif name.startswith("is_"):
            columns[name] = pa.array([None if value == "" else value.lower() == "true" for value in values], pa.bool_())
        else:
            columns[name] = pa.array(values, pa.string())
    return pa.RecordBatch.from_pydict(columns)
