"""Compression: decompresses a shard's stream, detected by its first bytes, in pieces of bounded size.

Bytes before a damaged place are returned first, as far as the decompressor has them; then the damage is raised.
"""

import bz2
import lzma
import re
import sys
import zlib
from contextlib import suppress
from typing import Any, Protocol

from pipeline.scan.reading.tar_header import BLOCK, HeaderError, parse

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MARKS = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9]"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
MAX_MARK_BYTES = 6
INPUT_BYTES = {"gzip": 1 << 16, "bzip2": 1 << 10, "xz": 1 << 10, "zstd": 1 << 10}
"""Compressed bytes that are read at a time; of a damaged piece, only gzip's sound part is returned."""
MAX_CHUNK_BYTES = 1 << 18
"""Decompressed bytes at a time, whatever the input claims."""
LZMA_MEMORY = 256 << 20
"""Bytes that an xz dictionary may take; zstd's own bound for its window is 128 MiB."""
BROKEN = (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError)
"""What decompressors raise; bz2 raises OSError, and no store is read inside a decompressor."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, count: int, /) -> bytes:
        """Read at most `count` bytes, none at the end."""


class DamageError(Exception):
    """A compressed stream that cannot be read any further.

    Attributes:
        given: whether bytes that were returned already may be wrong; false where bytes are only missing.
    """

    def __init__(self, reason: str, *, given: bool) -> None:
        super().__init__(reason)
        self.given = given


def decompressed(stream: Readable) -> tuple[Readable, str | None]:
    """Detect the compression of a stream, and undo it.

    Returns:
        The decompressed stream, and the compression's name, None for a stream that is not compressed.

    Raises:
        OSError: the store failed.
    """
    head = filled(stream, b"", BLOCK)
    replayed = Replayed(head, stream)
    form = next((name for name, mark in MARKS.items() if mark.match(head)), None)
    if form is None or _is_header(head):
        return replayed, None
    return Decompressed(replayed, form), form


class Replayed:
    """A stream whose first bytes were put back."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, count: int, /) -> bytes:
        """Read at most `count` bytes.

        Raises:
            OSError: the store failed.
        """
        if self._head:
            part, self._head = self._head[:count], self._head[count:]
            return part
        return self._stream.read(count)


class Decompressed:
    """A decompressed stream; it may be several concatenated streams of one form.

    Args:
        source: the compressed bytes.
        form: a key of `MARKS`.
    """

    def __init__(self, source: Readable, form: str) -> None:
        self._source = source
        self._form = form
        self._decompressor = _decompressor(form)
        self._out = memoryview(b"")
        self._fault: DamageError | None = None

    def read(self, count: int, /) -> bytes:
        """Read at most `count` bytes, none at the end.

        Raises:
            DamageError: the stream is damaged, cut, or followed by other bytes.
            OSError: the store failed.
        """
        while not self._out:
            if self._fault is not None:
                raise self._fault
            if not self._decompressor.eof:
                self._step()
            elif not self._next():
                return b""
        part, self._out = self._out[:count], self._out[count:]
        return bytes(part)

    def _step(self) -> None:
        """Decompress one piece."""
        held = getattr(self._decompressor, "unconsumed_tail", b"")
        wants = not held if self._form == "gzip" else self._decompressor.needs_input
        fresh = self._source.read(INPUT_BYTES[self._form]) if wants else b""
        self._take(held + fresh)
        if wants and not fresh and not self._out and not self._decompressor.eof and self._fault is None:
            self._fault = DamageError("the compressed stream ends before its end", given=False)

    def _take(self, data: bytes) -> None:
        before = self._decompressor.copy() if self._form == "gzip" else None
        try:
            self._out = memoryview(self._decompressor.decompress(data, MAX_CHUNK_BYTES))
        except BROKEN as reason:
            self._fault = DamageError(f"the compressed stream is broken: {reason}", given=True)
            if before is not None:
                self._out = memoryview(_until_broken(before, data))

    def _next(self) -> bool:
        """Begin the stream after the one that has ended; zero padding is skipped."""
        rest = bytes(self._decompressor.unused_data)
        while not (rest := rest.lstrip(b"\0")):
            if not (rest := self._source.read(INPUT_BYTES[self._form])):
                return False
        rest = filled(self._source, rest, MAX_MARK_BYTES)
        if not MARKS[self._form].match(rest):
            raise DamageError(f"{rest[:16]!r} follows the compressed stream", given=False)
        self._decompressor = _decompressor(self._form)
        self._take(rest)
        return True


def _decompressor(form: str) -> Any:
    """Make the decompressor of one stream."""
    match form:
        case "gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "bzip2":
            return bz2.BZ2Decompressor()
        case "xz":
            return lzma.LZMADecompressor(memlimit=LZMA_MEMORY)
        case _:
            return zstd.ZstdDecompressor()


def _until_broken(decompressor: Any, data: bytes) -> bytes:
    """Decompress a damaged piece byte by byte up to the damage, since the whole piece returns nothing."""
    out: list[bytes] = []
    with suppress(zlib.error):  # it is reported already
        out.extend(decompressor.decompress(data[at : at + 1]) for at in range(len(data)))
    return b"".join(out)


def filled(stream: Readable, head: bytes, count: int) -> bytes:
    """Read until there are `count` bytes, or the stream ends."""
    parts = [head]
    while (left := count - sum(map(len, parts))) > 0 and (part := stream.read(left)):
        parts.append(part)
    return b"".join(parts)


def _is_header(block: bytes) -> bool:
    try:
        parse(block)
    except HeaderError:
        return False
    return True
