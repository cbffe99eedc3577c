"""Content encoding: streaming decompression of HTTP bodies (gzip, deflate, br, zstd) in bounded chunks.

Truncated bodies are detected. A server may encode a body without being asked to. Source: RFC 9110, 8.4.
"""

import sys
import zlib
from collections.abc import Iterator
from functools import reduce
from typing import Protocol, cast

import brotli

from pipeline.storage.fault import ContentEncodingError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_CHUNK_BYTES = 1 << 20
"""Maximum size of a decompressed chunk in bytes, whatever the compression ratio."""
ZSTD = b"\x28\xb5\x2f\xfd"
MARKS = {"gzip": b"\x1f\x8b", "zstd": ZSTD}
"""Magic bytes of the encodings that have them."""
DEFLATED = 8
"""The low nibble of a zlib stream's first byte; some servers send a raw deflate stream without the header."""
BROKEN = (zlib.error, zstd.ZstdError, brotli.error)


class Decompressor(Protocol):
    """Decompresses one stream of one encoding."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decompress at most `max_length` bytes; empty input continues with buffered data."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def unused_data(self) -> bytes:
        """Input after the end of the stream."""


class Zlib:
    """zlib's decompressor, with buffering of unconsumed input."""

    def __init__(self, window: int) -> None:
        self._decompressor = zlib.decompressobj(window)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decompress at most `max_length` bytes."""
        return self._decompressor.decompress(self._decompressor.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        return self._decompressor.eof

    @property
    def unused_data(self) -> bytes:
        """Input after the end of the stream."""
        return self._decompressor.unused_data


class Brotli:
    """Brotli's decompressor; Brotli streams are not concatenated."""

    unused_data = b""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decompress about `max_length` bytes."""
        return bytes(self._decompressor.process(data, output_buffer_limit=max_length))

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        return bool(self._decompressor.is_finished())


class Decoder:
    """Decodes one encoding of a body, which may consist of concatenated streams.

    A body without the encoding's magic bytes is passed through: servers declare `gzip` for plain files. Bytes after the
    last stream are ignored.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._head = b""
        self._decompressor: Decompressor | None = None
        self._streams = 0
        self._plain = False

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[bytes]:
        """Decode further bytes of the body; `last` allows input shorter than the magic bytes.

        Raises:
            ContentEncodingError: the data are corrupt.
        """
        while data or last:
            if self._plain:
                yield data
                return
            if self._decompressor is None:
                data, self._head = self._head + data, b""
                if len(data) < len(ZSTD) and not last:
                    self._head = data
                    return
                if not self._starts(data):
                    self._plain = not self._streams
                    yield data if self._plain else b""
                    return
                self._decompressor, self._streams = self._new(data), self._streams + 1
            yield from self._all_of(self._decompressor, data)
            if not self._decompressor.eof:
                return
            data, self._decompressor = self._decompressor.unused_data, None
            if not data:
                return

    def finish(self) -> Iterator[bytes]:
        """Yield the rest, and check that the end of the stream was reached.

        Raises:
            ContentEncodingError: the body is truncated.
        """
        if self._head:
            yield from self.feed(b"", last=True)
        if self._decompressor is not None:
            raise ContentEncodingError(f"the body is truncated in its content encoding {self._coding}")

    def _starts(self, data: bytes) -> bool:
        if self._coding in MARKS:
            return data.startswith(MARKS[self._coding])
        return not self._streams

    def _new(self, head: bytes) -> Decompressor:
        if self._coding == "br":
            return Brotli()
        if self._coding == "zstd":
            return cast(Decompressor, zstd.ZstdDecompressor())
        if self._coding == "gzip":
            return Zlib(16 + zlib.MAX_WBITS)
        return Zlib(zlib.MAX_WBITS if head[0] & 0xF == DEFLATED else -zlib.MAX_WBITS)

    def _all_of(self, machine: Decompressor, data: bytes) -> Iterator[bytes]:
        try:
            while not machine.eof and (out := machine.decompress(data, MAX_CHUNK_BYTES)):
                data = b""
                yield out
        except BROKEN as reason:
            raise ContentEncodingError(f"the body is not valid {self._coding}: {reason}") from reason


class ContentDecoder:
    """Decodes all encodings of a body, in reverse order.

    Args:
        header: the `Content-Encoding` header; unknown names (`utf-8`, `none`, …) are ignored.
    """

    def __init__(self, header: str) -> None:
        names = [name.strip().lower().removeprefix("x-") for name in header.split(",")]
        self._decoders = [Decoder(name) for name in reversed(names) if name in ("gzip", "deflate", "br", "zstd")]

    def __bool__(self) -> bool:
        """Return whether there is any encoding."""
        return bool(self._decoders)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode further bytes of the body, in bounded chunks.

        Raises:
            ContentEncodingError: the data are corrupt.
        """
        return reduce(lambda pieces, decoder: _each(decoder, pieces), self._decoders, iter([data]))

    def finish(self) -> Iterator[bytes]:
        """Yield the rest, and check that the body was complete.

        Raises:
            ContentEncodingError: the body is truncated.
        """
        for number, decoder in enumerate(self._decoders):
            yield from reduce(
                lambda pieces, later: _each(later, pieces), self._decoders[number + 1 :], decoder.finish()
            )


def _each(decoder: Decoder, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.feed(piece)
