"""Local copies of remote files whose server does not serve byte ranges; each file is downloaded once per process."""

import asyncio
import io
import os
import tempfile
from collections import OrderedDict
from typing import BinaryIO, cast
from weakref import WeakValueDictionary

from pipeline.storage.fault import NoRangeError

MAX_FILES = 4
MAX_BYTES = 8 << 30
"""Maximum disk space of all copies of a process; a larger file is refused."""


class Copy:
    """A copy of a file in an unnamed temporary file, which is deleted with its last reader.

    Args:
        identity: changes when the bytes change.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.size = 0
        self._file = tempfile.TemporaryFile(prefix="mole-copy-")  # noqa: SIM115 - it lives as long as its readers

    def append(self, piece: bytes) -> None:
        """Append bytes.

        Raises:
            NoRangeError: the copy exceeds the maximum.
        """
        if self.size + len(piece) > MAX_BYTES:
            raise NoRangeError(
                f"the server does not support range requests and the file is over {MAX_BYTES:,} bytes; "
                "enable range requests, or copy the file to a disk or an object store"
            )
        self._file.write(piece)
        self.size += len(piece)

    def read(self, start: int, count: int) -> bytes:
        """Read `count` bytes; fewer only at the end."""
        self._file.flush()
        parts = []
        while count > 0 and (part := os.pread(self._file.fileno(), count, start)):
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return b"".join(parts)

    def opened(self) -> BinaryIO:
        """Open the copy for reading and seeking, at its start."""
        return cast(BinaryIO, io.BufferedReader(Reader(self), buffer_size=1 << 20))


class Reader(io.RawIOBase):
    """A raw stream over a copy."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Change the position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._copy.size}[whence]
        return self._at

    def readinto(self, buffer: object) -> int:
        """Read the next bytes into a buffer; 0 at the end."""
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._copy.read(self._at, len(target))
        target[: len(data)] = data
        self._at += len(data)
        return len(data)


class LocalCopies:
    """An LRU cache of a process's copies."""

    def __init__(self) -> None:
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def get(self, url: str) -> Copy | None:
        """Return a file's copy, None if there is none."""
        copy = self._copies.get(url)
        if copy is not None:
            self._copies.move_to_end(url)
        return copy

    def keep(self, url: str, copy: Copy) -> None:
        """Add a finished copy, and evict old ones."""
        self._copies[url] = copy
        while len(self._copies) > MAX_FILES or sum(each.size for each in self._copies.values()) > MAX_BYTES:
            self._copies.popitem(last=False)

    def evict(self, url: str, *, unless: str) -> None:
        """Evict a copy, unless it has this identity and the identity is reliable."""
        copy = self._copies.get(url)
        if copy is not None and (copy.identity != unless or unless.endswith("-unknown")):
            del self._copies[url]

    def lock(self, url: str) -> asyncio.Lock:
        """Return the lock for copying a file."""
        return self._locks.setdefault(url, asyncio.Lock())
