"""Lines: decodes a text of any encoding and line ending into lines, and counts their bytes."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mole.errors import SettingsError
from pipeline.scan.reading.compression import Readable, filled

CHUNK = 1 << 20
MAX_LINE_BYTES = 256 << 20
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
ERRORS = {"utf-8": "surrogateescape"}
"""How invalid bytes are decoded: in UTF-8 reversibly, so that a local file's name keeps its bytes."""


@dataclass(frozen=True)
class Coding:
    """The encoding of a text.

    Attributes:
        encoding: Python's name for it.
        newline: the line ending.
        begin: the first byte after the byte order mark.
    """

    encoding: str
    newline: str
    begin: int


def coding_of(head: bytes) -> Coding:
    """Detect a text's encoding from its first bytes; without a byte order mark, every second byte zero means UTF-16."""
    mark, encoding = next(((mark, name) for mark, name in MARKS if head.startswith(mark)), (b"", "utf-8"))
    if not mark and len(head) > 3 and (0 in (head[0], head[1])) and (head[0] | head[1]):
        encoding = "utf-16-le" if head[1] == 0 else "utf-16-be"
    text = decoded(head[len(mark) :], encoding)
    return Coding(encoding, "\n" if "\n" in text or "\r" not in text else "\r", len(mark))


def decoded(data: bytes, encoding: str) -> str:
    """Decode bytes as text; invalid bytes stay visible."""
    return data.decode(encoding, ERRORS.get(encoding, "replace"))


class Lines:
    """A stream's lines as text, with their endings; counts lines and bytes.

    Args:
        stream: the text, from its first byte.
        place: its name, for errors.
    """

    def __init__(self, stream: Readable, place: str) -> None:
        self._stream = stream
        self._place = place
        self._head = filled(stream, b"", CHUNK)
        self.coding = coding_of(self._head)
        self.at = self.coding.begin
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        newline = self.coding.newline.encode(self.coding.encoding)
        width, rest = len(newline), self._head[self.coding.begin :]
        while True:
            *whole, rest = _split(rest, newline, width)
            for line in whole:
                self.at, self.count = self.at + len(line), self.count + 1
                yield decoded(line, self.coding.encoding)
            if len(rest) > MAX_LINE_BYTES:
                reason = f"a line of more than {MAX_LINE_BYTES:,} bytes begins at byte {self.at:,}"
                raise SettingsError(f"{self._place}: {reason}; it is not a listing with one image a line")
            if not (chunk := self._stream.read(CHUNK)):
                break
            rest += chunk
        if rest:
            self.at, self.count = self.at + len(rest), self.count + 1
            yield decoded(rest, self.coding.encoding)


def _split(data: bytes, newline: bytes, width: int) -> list[bytes]:
    """Split bytes after each newline that is aligned to a character; the last piece has none."""
    if width == 1:
        *whole, last = data.split(newline)
        return [*(line + newline for line in whole), last]
    ends, at = [0], data.find(newline)
    while at >= 0:
        if at % width == 0:
            ends.append(at + width)
        at = data.find(newline, at + 1)
    return [data[start:end] for start, end in pairwise(ends)] + [data[ends[-1] :]]
