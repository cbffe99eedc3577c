"""A cursor in a stream: it knows how far it came, looks ahead, and says where bytes are missing."""

from dataclasses import dataclass

from pipeline.scan.reading.compression import Readable
from pipeline.scan.reading.header import BLOCK

CHUNK, LONGEST_READ = 1 << 20, 64 << 20


class CutError(Exception):
    """The stream ended, or cannot be decompressed, inside a member."""


@dataclass
class Cursor:
    """A stream that knows how far it was read.

    Attributes:
        stream: what is read.
        at: how many bytes were.
        back: bytes that were looked at and come again.
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
            elif not (part := self.stream.read(min(count, LONGEST_READ))):
                break
            parts.append(part)
            count -= len(part)
            self.at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def give_back(self, data: bytes) -> None:
        """Put bytes back, so that they come again."""
        self.back = data + self.back
        self.at -= len(data)

    def peek(self, length: int) -> bytes:
        """Look at the first of some bytes; they come again."""
        head = self.take(min(length, BLOCK))
        self.give_back(head)
        return head

    def body(self, length: int, *, keep: bool) -> bytes | None:
        """Read a member's bytes, or read over them.

        Raises:
            CutError: the stream ends before.
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

    def pass_zeros(self) -> None:
        """Go on to the next block that is not nothing but zeros."""
        while chunk := self.take(CHUNK):
            if rest := chunk.lstrip(b"\0"):
                zeros = (len(chunk) - len(rest)) // BLOCK * BLOCK
                self.give_back(chunk[zeros:])
                return
