"""An S3 Inventory: the store's own list of a bucket, cut into slices of images; its shards are units of their own.

What the list names is a bucket, not a choice of images, so other files are passed over and counted, as in a folder.
Source: the manifest and the columns as Amazon documents them for S3 Inventory, Parquet and CSV.
"""

import csv
import gzip
import io
import json
import posixpath
import zlib
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
from pipeline.scan.reading.shard import SHARD_NAME
from pipeline.scan.reading.torn import TornError, parquet
from pipeline.scan.reading.unit import Kind, Name, Slice, Unit
from pipeline.storage import storage
from pipeline.storage.file_info import FileInfo
from pipeline.storage.retry import with_retries

MANIFEST = "manifest.json"
ROWS_A_SLICE = 4096
"""Rows of an inventory in one unit: of a billion images there are then a quarter of a million units."""
AHEAD = 4
"""Files of an inventory that are read at a time."""
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
class Part:
    """One data file of an inventory.

    Attributes:
        url: where it is.
        form: `inventory-parquet` or `inventory-csv`.
        names: the columns of a CSV, in order; empty for Parquet.
    """

    url: str
    form: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """What one data file holds.

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
    return posixpath.basename(storage.file_name(url)) == MANIFEST


def units(manifest: str, passed_over: Callable[[int], None]) -> Iterator[Unit]:
    """Cut an inventory into units, file by file; nothing of it is kept.

    Args:
        manifest: the URL of its `manifest.json`.
        passed_over: told how many keys are no image and no shard.

    Raises:
        SettingsError: it is no manifest, or of a form that is not read.
        OSError: the store failed (or another of `STORE_FAULTS`).
    """
    waiting = iter(parts(manifest))
    with ThreadPoolExecutor(AHEAD) as readers:
        coming: list[Future[Listed]] = [readers.submit(_read, part) for part in islice(waiting, AHEAD)]
        while coming:
            listed = coming.pop(0).result()
            coming += [readers.submit(_read, part) for part in islice(waiting, 1)]
            passed_over(listed.others)
            yield from listed.shards
            yield from listed.slices


def parts(manifest: str) -> list[Part]:
    """Read a manifest.

    Raises:
        SettingsError: it is no manifest of an S3 Inventory, or its files are of a form that is not read.
    """
    try:
        told = json.loads(storage.read(manifest))
        form, files = str(told["fileFormat"]).lower(), [str(file["key"]) for file in told["files"]]
        bucket = str(told["destinationBucket"]).rpartition(":")[2]
        schema = str(told["fileSchema"])
    except (ValueError, KeyError, TypeError) as reason:
        raise SettingsError(f"{manifest} is no manifest of an S3 Inventory: {reason!r}") from reason
    if form not in ("parquet", "csv"):
        raise SettingsError(f"{manifest}: files of the form {form!r} are not read; set the inventory to Parquet or CSV")
    names = tuple(name.strip() for name in schema.split(",")) if form == "csv" else ()
    if form == "csv" and "Key" not in names:
        raise SettingsError(f"{manifest} has the columns {list(names)}, and no Key")
    return [Part(_place(manifest, bucket, key), f"inventory-{form}", names) for key in files]


def _place(manifest: str, bucket: str, key: str) -> str:
    """Find a data file: in its bucket, or beside a manifest that was copied elsewhere, as `../data/` there."""
    scheme, sign, _ = manifest.partition("://")
    if sign and scheme in ("s3", "s3a"):
        return f"{scheme}://{bucket}/{key}"
    return storage.join(posixpath.dirname(posixpath.dirname(manifest)), "data", posixpath.basename(key))


def _read(part: Part) -> Listed:
    """Read the keys of one data file, a batch of rows at a time; a damaged one is a unit that says so."""
    fs, path = storage.filesystem(part.url)
    place = storage.file_info(fs, with_retries(lambda: fs.info(path), part.url))
    try:
        return _listed(part, place)
    except TornError as reason:
        name, key = str(Name(place.url, place.identity)), posixpath.basename(place.url)
        fault = (Status.TORN_ARCHIVE, str(reason))
        return Listed([Unit(name, place.url, Kind.FILE, key=key, images=1, size=place.size, fault=fault)], [], 0)


def _listed(part: Part, place: FileInfo) -> Listed:
    listed = Listed([], [], 0)
    others = 0
    for first, group, row, batch in _batches(part):
        images, shards = _match(batch, IMAGE), _match(batch, SHARD)
        others += int((~images & ~shards).sum())
        listed.shards.extend(_shards(batch.filter(pa.array(shards))))
        for start in range(0, batch.num_rows, ROWS_A_SLICE):
            count = min(ROWS_A_SLICE, batch.num_rows - start)
            found = int(images[start : start + count].sum())
            rows = (first + start, first + start + count)
            piece = Slice(part.form, rows, (group, row + start), part.names, "key")
            name = f"{place.url}#{place.identity}:{rows[0]}-{rows[1]}"
            if found:
                listed.slices.append(Unit(name, place.url, Kind.SLICE, images=found, slice=piece))
    return Listed(listed.slices, listed.shards, others)


def _match(batch: pa.RecordBatch, pattern: str) -> npt.NDArray[np.bool_]:
    """Tell which keys end so; versions that were replaced or deleted are none."""
    found = pc.match_substring_regex(batch["key"], pattern, ignore_case=True)
    for name, wanted in (("is_latest", True), ("is_delete_marker", False)):
        if name in batch.schema.names:
            found = pc.and_(found, pc.equal(pc.coalesce(batch[name], pa.scalar(wanted)), pa.scalar(wanted)))
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), np.bool_)


def _shards(batch: pa.RecordBatch) -> Iterator[Unit]:
    """Name shards as a listing of their store names them."""
    for row in batch.to_pylist():
        url, size = f"s3://{row['bucket']}/{row['key']}", row.get("size")
        tag = str(row.get("e_tag") or "").strip('"')
        yield Unit(f"{url}#{tag or size}", url, Kind.SHARD, size=size)


def keys(url: str, piece: Slice) -> Iterator[str]:
    """Read the images of one slice again.

    Args:
        url: the data file.
        piece: which of its rows.

    Yields:
        The URI of each image, in order.

    Raises:
        TornError: the data file is damaged.
        OSError: the store failed.
    """
    count = piece.rows[1] - piece.rows[0]
    if piece.form == "inventory-csv":
        batch = _as_batch(list(islice(_records(url), piece.rows[0], piece.rows[1])), piece.columns)
    else:
        with parquet(url) as file:
            table = file.read_row_group(piece.span[0], columns=_present(file))
        batch = table.slice(piece.span[1], count).combine_chunks().to_batches()[0]
    for row in batch.filter(pa.array(_match(batch, IMAGE))).to_pylist():
        yield f"s3://{row['bucket']}/{row['key']}"


def _batches(part: Part) -> Iterator[tuple[int, int, int, pa.RecordBatch]]:
    """Yield a file's rows: the first one's place in the file, its row group, its place there, and the rows."""
    if part.form == "inventory-csv":
        first, records = 0, _records(part.url)
        while lines := list(islice(records, 16 * ROWS_A_SLICE)):
            yield first, 0, first, _as_batch(lines, part.names)
            first += len(lines)
        return
    with parquet(part.url) as file:
        columns, first = _present(file), 0
        for group in range(file.num_row_groups):
            row = 0
            for batch in file.iter_batches(16 * ROWS_A_SLICE, row_groups=[group], columns=columns):
                yield first, group, row, batch
                first, row = first + batch.num_rows, row + batch.num_rows


def _present(file: pq.ParquetFile) -> list[str]:
    names = file.schema_arrow.names
    if not {"bucket", "key"} <= set(names):
        raise SettingsError(f"an inventory's file has the columns {names}, and not both of bucket and key")
    return [name for name in COLUMNS.values() if name in names]


def _records(url: str) -> Iterator[list[str]]:
    """Read a CSV file's records from its beginning; most are compressed and cannot be read from the middle."""
    data = storage.read(url)
    try:
        text = gzip.decompress(data) if url.endswith(".gz") else data
        yield from filter(None, csv.reader(io.StringIO(text.decode("utf-8", "replace"), newline="")))
    except (OSError, EOFError, zlib.error, csv.Error) as reason:
        raise TornError(f"{url} is damaged: {reason}") from reason


def _as_batch(lines: list[list[str]], names: tuple[str, ...]) -> pa.RecordBatch:
    """Give a CSV's records the columns and types that a Parquet inventory has; keys there are URL-encoded."""
    if uneven := [line for line in lines if len(line) != len(names)]:
        raise TornError(f"the row {uneven[0]!r:.200} has not the columns {list(names)}")
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
