"""Labels: what people said of images of a verdict table, one row for each time that somebody said something.

The table grows only: a label that is taken back is another row, and the newest row of an image counts.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mole.errors import SettingsError, StorageError
from pipeline import storage
from pipeline.fault import STORE_FAULTS
from pipeline.records import TIME

LABELS_VERSION = "1"
VERSION_KEY = b"mole_scan_labels"


class Label(StrEnum):
    """What somebody said of an image; `withdrawn` takes back what was said before."""

    GENERATED = "generated"
    REAL = "real"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"


LABELS = pa.schema(
    [
        ("unit", pa.string()),
        ("index", pa.int32()),
        ("uri", pa.string()),
        ("key", pa.string()),
        ("content_hash", pa.binary(16)),
        ("label", pa.string()),
        ("generator", pa.string()),
        ("note", pa.string()),
        ("labelled_by", pa.string()),
        ("labelled_at", TIME),
        ("model", pa.string()),
        ("verdict", pa.string()),
        ("probability", pa.float32()),
    ],
    metadata={VERSION_KEY: LABELS_VERSION.encode()},
)
"""A row of the table: the image by its place and content, what was said, by whom and when, and what was shown then."""


def append(folder: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write labels as a new file.

    Args:
        folder: the table's URL.
        rows: of `LABELS`; `labelled_at` is now where it is not given, other columns are null.

    Returns:
        The file's URL.

    Raises:
        StorageError: the store refuses.
    """
    now = datetime.now(UTC)
    made = pa.Table.from_pylist([{"labelled_at": now, **row} for row in rows], LABELS)
    sink = pa.BufferOutputStream()
    pq.write_table(made, sink, compression="zstd")
    url = storage.join(storage.absolute(folder), f"labels-{now:%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}.parquet")
    storage.write(url, bytes(sink.getvalue().to_pybytes()))
    return url


def latest(folder: str) -> pa.Table:
    """Read what counts: of each image the newest row, without those whose label was withdrawn.

    Returns:
        A table of `LABELS`, in the order of `labelled_at`; empty where the folder has no labels.

    Raises:
        SettingsError: the folder holds Parquet files that are no labels.
        StorageError: it cannot be read.
    """
    files = storage.names(storage.absolute(folder), ".parquet")
    rows = pa.concat_tables([LABELS.empty_table(), *(_read(file) for file in files)]).sort_by("labelled_at")
    newest = {place: number for number, place in enumerate(zip(*_places(rows), strict=True))}
    kept = rows.take(pa.array(sorted(newest.values()), pa.int64()))
    return kept.filter(pc.not_equal(kept["label"], str(Label.WITHDRAWN)))


def is_labels(folder: str) -> bool:
    """Tell whether a folder holds a table of labels.

    Raises:
        StorageError: it cannot be read.
    """
    files = storage.names(storage.absolute(folder), ".parquet")
    return bool(files) and VERSION_KEY in (_schema(files[0]).metadata or {})


def _places(rows: pa.Table) -> tuple[list[Any], list[Any]]:
    return rows["unit"].to_pylist(), rows["index"].to_pylist()


def _schema(file: str) -> pa.Schema:
    fs, path = storage.filesystem(file)
    try:
        with fs.open(path, "rb") as stream:
            return pq.read_schema(stream)
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read {file!r}: {reason}") from reason


def _read(file: str) -> pa.Table:
    if (version := (_schema(file).metadata or {}).get(VERSION_KEY)) != LABELS_VERSION.encode():
        told = "no labels" if version is None else f"labels of schema {version.decode()!r}"
        raise SettingsError(f"{file!r} holds {told}, this version reads {LABELS_VERSION!r}; name a folder of labels")
    fs, path = storage.filesystem(file)
    try:
        with fs.open(path, "rb") as stream:
            return pq.ParquetFile(stream).read()
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read the labels {file!r}: {reason}") from reason
