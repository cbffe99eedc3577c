"""A content coding of HTTP (gzip, deflate, br, zstd) undone a bounded piece at a time, and known to be whole.

A server may code a body that nobody asked it to code. Source: RFC 9110, 8.4.
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

PIECE = 1 << 20
"""Bytes that come out at a time, whatever a body claims to inflate to."""
ZSTD = b"\x28\xb5\x2f\xfd"
MARKS = {"gzip": b"\x1f\x8b", "zstd": ZSTD}
"""How a body of a coding begins; the other codings have no mark."""
DEFLATED = 8
"""The low half of a zlib stream's first byte; some servers send the bare stream without it."""
BROKEN = (zlib.error, zstd.ZstdError, brotli.error)


class Decompressor(Protocol):
    """What undoes one stream of one coding."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take some bytes in and give at most so many out; empty bytes ask for more of what was taken in."""

    @property
    def eof(self) -> bool:
        """Return whether the stream's end was seen."""

    @property
    def unused_data(self) -> bytes:
        """Return what lay behind the end."""


class Zlib:
    """zlib's machine, which gives back what it did not take in."""

    def __init__(self, window: int) -> None:
        self._decompressor = zlib.decompressobj(window)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take bytes in and give at most so many out."""
        return self._decompressor.decompress(self._decompressor.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        """Return whether the end was seen."""
        return self._decompressor.eof

    @property
    def unused_data(self) -> bytes:
        """Return what lay behind the end."""
        return self._decompressor.unused_data


class Brotli:
    """Brotli's machine; its streams do not follow each other."""

    unused_data = b""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take bytes in and give about so many out."""
        return bytes(self._decompressor.process(data, output_buffer_limit=max_length))

    @property
    def eof(self) -> bool:
        """Return whether the end was seen."""
        return bool(self._decompressor.is_finished())


class Decoder:
    """Undoes one coding of a body, in which several streams may follow each other.

    A body that does not begin as its coding must is taken as it is: servers say `gzip` of plain files. What lies behind
    the end of the last stream is nobody's.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._head = b""
        self._decompressor: Decompressor | None = None
        self._streams = 0
        self._plain = False

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[bytes]:
        """Yield what some more bytes of the body hold; the last ones may be fewer than a mark has.

        Raises:
            ContentEncodingError: they are broken.
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
        """Yield what a body shorter than any mark holds, and insist that the coding's own end was seen.

        Raises:
            ContentEncodingError: it was not.
        """
        if self._head:
            yield from self.feed(b"", last=True)
        if self._decompressor is not None:
            raise ContentEncodingError(f"the body ends inside its coding {self._coding}")

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
            while not machine.eof and (out := machine.decompress(data, PIECE)):
                data = b""
                yield out
        except BROKEN as reason:
            raise ContentEncodingError(f"the body is not what its coding {self._coding} says: {reason}") from reason


class ContentDecoder:
    """Undoes all codings of a body, the last one first.

    Args:
        header: what `Content-Encoding` says; words that name no coding (`utf-8`, `none`, …) say nothing.
    """

    def __init__(self, header: str) -> None:
        names = [name.strip().lower().removeprefix("x-") for name in header.split(",")]
        self._decoders = [Decoder(name) for name in reversed(names) if name in ("gzip", "deflate", "br", "zstd")]

    def __bool__(self) -> bool:
        """Return whether anything is to be undone."""
        return bool(self._decoders)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what some more bytes of the body hold, in bounded pieces.

        Raises:
            ContentEncodingError: they are broken.
        """
        return reduce(lambda pieces, decoder: _each(decoder, pieces), self._decoders, iter([data]))

    def finish(self) -> Iterator[bytes]:
        """Yield what is still held, and insist that the body was whole.

        Raises:
            ContentEncodingError: it was not.
        """
        for number, decoder in enumerate(self._decoders):
            yield from reduce(
                lambda pieces, later: _each(later, pieces), self._decoders[number + 1 :], decoder.finish()
            )


def _each(decoder: Decoder, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.feed(piece)
