"""Shards: samples in WebDataset archives by the `webdataset` package, each under its name only once it is whole.

_export/shard-000003.json   which rows of the listing a shard took, and which of them had no bytes: written behind it
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
"""Of every member, so that the same samples give the same bytes."""


class Size(NamedTuple):
    """When a shard is full: images, and bytes of its members."""

    images: int
    bytes: int


class Part(BaseModel):
    """Some rows of a listing that are done.

    Attributes:
        name: of the shard; None if none of the rows had bytes.
        rows: the first, and the one after the last.
        images: in the shard.
        missing: of those that had no bytes, what a person needs to know.
    """

    model_config = ConfigDict(frozen=True)

    name: str | None
    rows: tuple[int, int]
    images: int
    missing: tuple[dict[str, Any], ...]


class Shards:
    """Writes samples into shards below a folder, from where the last run came to.

    Left by an exception, what is begun is taken away, and the rows of it are done again by the next run.

    Args:
        output: the folder's URL.
        size: when a shard is full.

    Attributes:
        rows: how many rows of the listing are done or under way.
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
        """Begin where the last run ended."""
        return self

    def write(self, sample: Mapping[str, Any]) -> None:
        """Put the next row's sample into a shard.

        Raises:
            StorageError: there is no room, or a full shard cannot be put in its place.
        """
        if self._writer is None:
            # a shard's number is that of its part, so that a part without a shard leaves a gap and no doubt
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

    def miss(self, told: dict[str, Any]) -> None:
        """Note that the next row's image has no bytes."""
        self._missing.append(told)
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the last shard in its place; or take away what is begun."""
        writer, self._writer = self._writer, None
        if error is None:
            if writer is not None:
                writer.close()
            elif self._missing:
                self._record(None)
            return
        with suppress(OSError):  # the disk may be full, which is what ends the run
            if writer is not None:
                writer.post = None
                writer.close()
        if self._open is not None:
            path, stream = self._open
            with suppress(OSError):
                stream.close()
            path.unlink(missing_ok=True)

    def _opened(self, name: str) -> BinaryIO:
        """Open a file of this machine for a shard that is being written."""
        path = Path(temporary(storage.join(self.output, name)))
        self._open = path, path.open("xb")
        return self._open[1]

    def _closed(self, name: str) -> None:
        """Put a finished shard in its place, then its record."""
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
    """Read which parts are done, in their order."""
    for file in storage.names(storage.join(output, FOLDER), ".json"):
        yield Part.model_validate(json.loads(storage.read(file)))


def temporary(url: str) -> str:
    """Name a file of this machine in which another is made: beside it, or a temporary one where that is remote."""
    if not storage.is_local(url):
        handle, path = tempfile.mkstemp(prefix="mole-export-")
        os.close(handle)
        os.remove(path)
        return path
    folder, _, name = storage.absolute(url).rpartition("/")
    os.makedirs(folder, exist_ok=True)
    return f"{folder}/.{name}{local.TEMPORARY}{os.getpid()}"


def deliver(path: Path, url: str) -> None:
    """Return a whole file its name, on this machine or in a store.

    Raises:
        StorageError: the store refuses it.
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
