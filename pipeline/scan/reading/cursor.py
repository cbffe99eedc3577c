"""Cursor: a stream with its position, look-ahead, and an error where bytes are missing."""

from dataclasses import dataclass

from pipeline.scan.reading.compression import Readable
from pipeline.scan.reading.tar_header import BLOCK

CHUNK, MAX_READ_BYTES = 1 << 20, 64 << 20


class CutError(Exception):
    """The stream ended, or cannot be decompressed, inside a member."""


@dataclass
class Cursor:
    """A stream with its position.

    Attributes:
        stream: the bytes.
        at: the position: how many bytes were read.
        back: bytes that were peeked at and are read again.
    """

    stream: Readable
    at: int = 0
    back: bytes = b""

    def take(self, count: int) -> bytes:
        """Read up to `count` bytes; fewer only at the end."""
        parts = []
        while count > 0:
            if self.back:
                part, self.back = self.back[:count], self.back[count:]
            elif not (part := self.stream.read(min(count, MAX_READ_BYTES))):
                break
            parts.append(part)
            count -= len(part)
            self.at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def give_back(self, data: bytes) -> None:
        """Put bytes back, so that they are read again."""
        self.back = data + self.back
        self.at -= len(data)

    def peek(self, length: int) -> bytes:
        """Return the first of some bytes without moving on."""
        head = self.take(min(length, BLOCK))
        self.give_back(head)
        return head

    def body(self, length: int, *, keep: bool) -> bytes | None:
        """Read a member's bytes, or skip them.

        Raises:
            CutError: the stream ends before their end.
        """
        if keep:
            data = self.take(length)
            if len(data) < length:
                raise CutError(f"{len(data):,} of {length:,} bytes are there")
            return data
        left = length
        while left:
            part = self.take(min(left, CHUNK))
            if not part:
                raise CutError(f"{length - left:,} of {length:,} bytes are there")
            left -= len(part)
        return None

    def skip_zeros(self) -> None:
        """Skip blocks of zeros."""
        while chunk := self.take(CHUNK):
            if rest := chunk.lstrip(b"\0"):
                zeros = (len(chunk) - len(rest)) // BLOCK * BLOCK
                self.give_back(chunk[zeros:])
                return
