"""Shard writer: writes WebDataset shards with the `webdataset` package, each atomically.

_export/shard-000003.json   the rows of the listing in a shard, and the missing ones among them: written after it
shard-000003.tar            the shard
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from pydantic import BaseModel, ConfigDict
from webdataset import ShardWriter

from mole.errors import StorageError
from pipeline.storage import local, storage
from pipeline.storage.fault import STORE_FAULTS
from pipeline.storage.retry import with_retries

FOLDER = "_export"
PATTERN = "shard-%06d.tar"
MTIME = 0
"""Modification time of every member, so that equal samples give equal bytes."""


class Size(NamedTuple):
    """Maximum size of a shard: images, and bytes of its members."""

    images: int
    bytes: int


class Part(BaseModel):
    """A finished range of a listing.

    Attributes:
        name: name of the shard; None if all rows are missing.
        rows: the first row, and the one after the last.
        images: images in the shard.
        missing: location and fault of the missing images.
    """

    model_config = ConfigDict(frozen=True)

    name: str | None
    rows: tuple[int, int]
    images: int
    missing: tuple[dict[str, Any], ...]


class Shards:
    """Writes samples to shards in a folder, continuing after the last run.

    If it is left by an exception, the unfinished shard is removed, and the next run repeats its rows.

    Args:
        output: the folder's URL.
        size: maximum size of a shard.

    Attributes:
        rows: number of rows of the listing that are finished or in the current shard.
    """

    def __init__(self, output: str, size: Size) -> None:
        self.output = storage.absolute(output)
        self.done = list(parts(self.output))
        self.rows = self.done[-1].rows[1] if self.done else 0
        self._size = size
        self._begin, self._images = self.rows, 0
        self._missing: list[dict[str, Any]] = []
        self._writer: ShardWriter | None = None
        self._open: tuple[Path, BinaryIO] | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def write(self, sample: Mapping[str, Any]) -> None:
        """Write the next row's sample.

        Raises:
            StorageError: the disk is full, or a finished shard cannot be stored.
        """
        if self._writer is None:
            # a shard's number is that of its part; a part without a shard leaves a gap
            limits = {"maxcount": self._size.images, "maxsize": self._size.bytes}
            self._writer = ShardWriter(
                PATTERN,
                **limits,
                start_shard=len(self.done),
                verbose=0,
                opener=self._opened,
                post=self._closed,
                encoder=False,
                mtime=MTIME,
                user="",
                group="",
            )
        try:
            self._writer.write(dict(sample))
        except OSError as reason:
            raise StorageError(f"cannot write a shard of {self.output!r}: {reason}") from reason
        self._images += 1
        self.rows += 1

    def miss(self, entry: dict[str, Any]) -> None:
        """Record that the next row's image is missing."""
        self._missing.append(entry)
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last shard, or remove it after an error."""
        writer, self._writer = self._writer, None
        if error is None:
            if writer is not None:
                writer.close()
            elif self._missing:
                self._record(None)
            return
        with suppress(OSError):  # the disk may be full, which may be the error itself
            if writer is not None:
                writer.post = None
                writer.close()
        if self._open is not None:
            path, stream = self._open
            with suppress(OSError):
                stream.close()
            path.unlink(missing_ok=True)

    def _opened(self, name: str) -> BinaryIO:
        """Open a local temporary file for a shard."""
        path = Path(temporary(storage.join(self.output, name)))
        self._open = path, path.open("xb")
        return self._open[1]

    def _closed(self, name: str) -> None:
        """Store a finished shard, then its record."""
        assert self._open is not None
        path, stream = self._open
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        deliver(path, storage.join(self.output, name))
        self._open = None
        self._record(name)

    def _record(self, name: str | None) -> None:
        part = Part(name=name, rows=(self._begin, self.rows), images=self._images, missing=tuple(self._missing))
        file = storage.join(self.output, FOLDER, (PATTERN % len(self.done)).replace(".tar", ".json"))
        storage.write(file, part.model_dump_json().encode())
        self.done.append(part)
        self._begin, self._images, self._missing = self.rows, 0, []


def parts(output: str) -> Iterator[Part]:
    """Read the finished parts, in order."""
    for file in storage.list_files(storage.join(output, FOLDER), ".json"):
        yield Part.model_validate(json.loads(storage.read(file)))


def temporary(url: str) -> str:
    """Return a local path for writing a file: in its folder, or a temporary file if it is remote."""
    if not storage.is_local(url):
        handle, path = tempfile.mkstemp(prefix="mole-export-")
        os.close(handle)
        os.remove(path)
        return path
    folder, _, name = storage.absolute(url).rpartition("/")
    os.makedirs(folder, exist_ok=True)
    return f"{folder}/.{name}{local.TEMPORARY_MARK}{os.getpid()}"


def deliver(path: Path, url: str) -> None:
    """Move a finished file to its URL.

    Raises:
        StorageError: the store denies the write.
    """
    fs, place = storage.filesystem(url)
    try:
        if storage.is_local(url):
            path.replace(place)
        else:
            with_retries(lambda: fs.put_file(str(path), place), url)
            path.unlink()
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot write {url!r}: {reason}") from reason
