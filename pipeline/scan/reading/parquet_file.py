"""Parquet file: opens one, and distinguishes a damaged file from a failure of its store."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage import storage

BUFFER = 1 << 20
"""Bytes of a Parquet file that are requested at a time while its pages are read in order."""


class DamagedFileError(Exception):
    """A damaged file; the message names it, the place in it, and what is wrong there."""


class FaultRecordingFile:
    """A stream that records its store's exception, since Arrow raises OSError for damaged bytes too.

    Args:
        stream: the file, open for reading.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.fault: Exception | None = None

    def read(self, count: int = -1) -> bytes:
        """Read at most `count` bytes."""
        return self._recorded(lambda: self._stream.read(count))  # type: ignore[no-any-return]

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte."""
        return int(self._recorded(lambda: self._stream.seek(offset, whence)))

    def tell(self) -> int:
        """Return the position of the stream."""
        return int(self._stream.tell())

    @property
    def closed(self) -> bool:
        """Tell whether the stream is closed."""
        return bool(self._stream.closed)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def readable(self) -> bool:
        """Tell that the stream can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that the stream can be read from any byte on."""
        return True

    def writable(self) -> bool:
        """Tell that the stream cannot be written."""
        return False

    def _recorded(self, call: Any) -> Any:
        try:
            return call()
        except Exception as reason:
            self.fault = reason
            raise


@contextmanager
def open_parquet(url: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file to read its pages in order, verified against their checksums where they have one.

    Raises:
        DamagedFileError: it is damaged, or not a Parquet file.
        OSError: the store failed (or another of `STORE_FAULTS`).
    """
    fs, path = storage.filesystem(url)
    recording = None
    with ExitStack() as stack:
        try:
            if isinstance(fs, LocalFileSystem):
                source = stack.enter_context(
                    pa.OSFile(os.fsencode(path))
                )  # a page goes to Arrow without a copy in Python
            else:
                recording = FaultRecordingFile(stack.enter_context(fs.open(path, "rb")))
                source = pa.PythonFile(recording, mode="r")
            yield stack.enter_context(
                pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
            )
        except (pa.ArrowException, OSError, UnicodeDecodeError) as reason:
            if recording is not None and recording.fault is not None:
                raise recording.fault from reason
            if isinstance(reason, OSError) and reason.errno is not None:
                raise  # from the operating system; Arrow gives its own errors no number
            raise DamagedFileError(f"{url} is damaged: {reason}") from reason
