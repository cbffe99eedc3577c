"""A file that its store gives and that is damaged, told apart from a store that gives nothing."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage import storage

BUFFER = 1 << 20
"""Bytes of a Parquet file that are asked for at a time while pages are read one after the other."""


class TornError(Exception):
    """A damaged file; the text names it, the place in it, and what is wrong there."""


class Watched:
    """A stream that remembers what its store said against it, for Arrow says OSError of damaged bytes too.

    Args:
        stream: the file, open for reading.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.fault: Exception | None = None

    def read(self, count: int = -1) -> bytes:
        """Give at most so many bytes."""
        return self._watch(lambda: self._stream.read(count))  # type: ignore[no-any-return]

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte."""
        return int(self._watch(lambda: self._stream.seek(offset, whence)))

    def tell(self) -> int:
        """Tell at which byte the stream stands."""
        return int(self._stream.tell())

    @property
    def closed(self) -> bool:
        """Tell whether the stream is closed."""
        return bool(self._stream.closed)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any byte on."""
        return True

    def writable(self) -> bool:
        """Say that it cannot be written."""
        return False

    def _watch(self, call: Any) -> Any:
        try:
            return call()
        except Exception as reason:
            self.fault = reason
            raise


@contextmanager
def parquet(url: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file to read pages one after the other, held against their checksums where they have one.

    Raises:
        TornError: it is damaged, or no Parquet file.
        OSError: the store failed (or another of `STORE_FAULTS`).
    """
    fs, path = storage.filesystem(url)
    watched = None
    with ExitStack() as stack:
        try:
            if isinstance(fs, LocalFileSystem):
                source = stack.enter_context(
                    pa.OSFile(os.fsencode(path))
                )  # a page goes to Arrow without a copy in Python
            else:
                watched = Watched(stack.enter_context(fs.open(path, "rb")))
                source = pa.PythonFile(watched, mode="r")
            yield stack.enter_context(
                pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
            )
        except (pa.ArrowException, OSError, UnicodeDecodeError) as reason:
            if watched is not None and watched.fault is not None:
                raise watched.fault from reason
            if isinstance(reason, OSError) and reason.errno is not None:
                raise  # the system's own word; Arrow gives none of its errors a number
            raise TornError(f"{url} is damaged: {reason}") from reason
