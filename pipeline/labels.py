"""Labels: people's labels of images of a verdict table, as an append-only table of events.

A withdrawn label is another row; the newest row of an image counts.
"""

import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mole.errors import SettingsError, StorageError
from pipeline.records import TIME
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

LABELS_VERSION = "1"
VERSION_KEY = b"mole_scan_labels"
ROWS_PER_FILE = 500
"""Labels per file of a `LabelWriter`, which rewrites the file at each label, some 20 kB."""


class Label(StrEnum):
    """The label of an image.

    `withdrawn` removes the previous label; `note` is a row with only a note or a generator's name.
    """

    GENERATED = "generated"
    REAL = "real"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"
    NOTE = "note"


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
"""A row of the table: the image by location and content, the label, its author and time, and the verdict shown then."""


class LabelWriter:
    """Writes labels durably: each is on the disk or in the store before the call returns.

    The newest file is replaced atomically at each label, and a new one begins after `ROWS_PER_FILE` labels. So a label
    costs one small write, a killed process loses nothing, and a table of 10,000 labels is some twenty files.

    Args:
        folder: the table's URL; it is created if missing.
    """

    def __init__(self, folder: str) -> None:
        self.folder = storage.absolute(folder)
        self._rows: list[Mapping[str, Any]] = []
        self._url = ""
        self._last = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def add(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Append a label.

        Args:
            row: columns of `LABELS` except `labelled_at`; missing ones are null.

        Returns:
            The written row with its time, which is later than that of all labels before it.

        Raises:
            StorageError: the write failed; earlier labels stay.
        """
        with self._lock:
            self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
            written = {**dict.fromkeys(LABELS.names), **row, "labelled_at": self._last}
            if not self._rows or len(self._rows) >= ROWS_PER_FILE:
                self._rows, self._url = [], _new_file(self.folder)
            _write(self._url, [*self._rows, written])
            self._rows.append(written)
            return written


def append(folder: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Append labels as a new file.

    Args:
        folder: the table's URL.
        rows: columns of `LABELS`; `labelled_at` defaults to now, others to null.

    Returns:
        The file's URL.

    Raises:
        StorageError: the store refuses.
    """
    now = datetime.now(UTC)
    url = _new_file(storage.absolute(folder))
    _write(url, [{"labelled_at": now, **row} for row in rows])
    return url


def current_labels(folder: str, *, notes: bool = False) -> pa.Table:
    """Read the current label of each image: the newest row, without withdrawn labels.

    Args:
        folder: the table's URL.
        notes: include images that have only a note.

    Returns:
        A table of `LABELS`, sorted by `labelled_at`; empty if the folder has no labels.

    Raises:
        SettingsError: the folder holds Parquet files that are not labels.
        StorageError: it cannot be read.
    """
    rows = newest_rows(folder)
    without = pa.array([Label.WITHDRAWN] if notes else [Label.WITHDRAWN, Label.NOTE], pa.string())
    return rows.filter(pc.invert(pc.is_in(rows["label"], without)))


def newest_rows(folder: str) -> pa.Table:
    """Read the newest row of each image, withdrawn labels included.

    Returns:
        As `current_labels`.

    Raises:
        SettingsError: the folder holds Parquet files that are not labels.
        StorageError: it cannot be read.
    """
    files = storage.list_files(storage.absolute(folder), ".parquet")
    rows = pa.concat_tables([LABELS.empty_table(), *(_read(file) for file in files)]).sort_by("labelled_at")
    places = zip(rows["unit"].to_pylist(), rows["index"].to_pylist(), strict=True)
    last_rows = {place: number for number, place in enumerate(places)}
    return rows.take(pa.array(sorted(last_rows.values()), pa.int64()))


def is_labels(folder: str) -> bool:
    """Return whether a folder holds a table of labels.

    Raises:
        StorageError: it cannot be read.
    """
    files = storage.list_files(storage.absolute(folder), ".parquet")
    return bool(files) and VERSION_KEY in (_schema(files[0]).metadata or {})


def _new_file(folder: str) -> str:
    return storage.join(folder, f"labels-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}.parquet")


def _write(url: str, rows: Sequence[Mapping[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), LABELS), sink, compression="zstd")
    storage.write(url, sink.getvalue().to_pybytes())


def _schema(file: str) -> pa.Schema:
    """Read a file's schema.

    Raises:
        StorageError: it cannot be read.
    """
    fs, path = storage.filesystem(file)
    try:
        with fs.open(path, "rb") as stream:
            return pq.read_schema(stream)
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read {file!r}: {reason}") from reason


def _read(file: str) -> pa.Table:
    """Read a file of labels.

    Raises:
        SettingsError: it does not hold labels.
        StorageError: it cannot be read.
    """
    try:
        rows = pq.ParquetFile(pa.BufferReader(storage.read(file))).read()
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read the labels {file!r}: {reason}") from reason
    if (version := (rows.schema.metadata or {}).get(VERSION_KEY)) != LABELS_VERSION.encode():
        content = "no labels" if version is None else f"labels of schema {version.decode()!r}"
        raise SettingsError(f"{file!r} holds {content}, this version reads {LABELS_VERSION!r}; name a folder of labels")
    return rows
