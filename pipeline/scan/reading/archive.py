"""A tar as a stream: every sound member in order, and where the archive is torn.

`tarfile` ends without a word at a header that it cannot read; here the reader says so, looks for the next sound
header, and goes on, so that no sound member is lost.
"""

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

BLOCK = 512
CHUNK = 1 << 20
LONGEST_EXTENSION = 1 << 20
TORN_STREAM = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
PAX = tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE


@dataclass(frozen=True)
class Member:
    """A file of the archive.

    Attributes:
        name: its path in the archive.
        offset: where its bytes begin in the (uncompressed) archive.
        length: how many there are.
        data: the bytes; None where they were not wanted or where the member is a link.
        link: what a link points to, None for a file.
    """

    name: str
    offset: int
    length: int
    data: bytes | None
    link: str | None = None


@dataclass(frozen=True)
class Tear:
    """A place where the archive cannot be read.

    Attributes:
        offset: the byte at which it shows.
        reason: what is wrong there.
        member: the file that is cut by it, None between files.
    """

    offset: int
    reason: str
    member: str | None = None


class _CutError(Exception):
    """The stream ended, or cannot be decompressed, inside a member."""


@dataclass
class _Cursor:
    """A stream that knows how far it was read."""

    stream: BinaryIO
    at: int = 0

    def take(self, count: int) -> bytes:
        """Read up to `count` bytes; fewer only at the end."""
        parts = []
        while count > 0:
            try:
                part = self.stream.read(count)
            except TORN_STREAM as reason:
                raise _CutError(f"the compressed stream is broken: {reason}") from reason
            if not part:
                break
            parts.append(part)
            count -= len(part)
            self.at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def body(self, length: int, *, keep: bool) -> bytes | None:
        """Read a member's bytes, or read over them."""
        if keep:
            data = self.take(length)
            if len(data) < length:
                raise _CutError(f"{len(data):,} of {length:,} bytes are there")
            return data
        left = length
        while left:
            part = self.take(min(left, CHUNK))
            if not part:
                raise _CutError(f"{length - left:,} of {length:,} bytes are there")
            left -= len(part)
        return None


@dataclass
class _Extension:
    """What extended headers say of the member that follows them."""

    name: str | None = None
    size: int | None = None
    link: str | None = None

    def learn(self, kind: bytes, body: bytes) -> None:
        """Take over a GNU long name, a GNU long link, or pax records; a global pax header says nothing of one file."""
        if kind == tarfile.GNUTYPE_LONGNAME:
            self.name = _text(body.rstrip(b"\0"))
        elif kind == tarfile.GNUTYPE_LONGLINK:
            self.link = _text(body.rstrip(b"\0"))
        elif kind in PAX:
            records = _pax_records(body)
            self.name = records.get("path", self.name)
            self.link = records.get("linkpath", self.link)
            size = records.get("size", "")
            self.size = int(size) if size.isdecimal() else self.size


@dataclass
class _State:
    """What the reader knows between two headers."""

    ended: bool = False
    lost: bool = False
    extension: _Extension = field(default_factory=_Extension)


def members(stream: BinaryIO, wanted: Callable[[str, int], bool]) -> Iterator[Member | Tear]:
    """Read an archive from its first byte to its last.

    Args:
        stream: the archive, already decompressed; it is only read forwards.
        wanted: told a member's name and length, says whether its bytes are kept.

    Yields:
        Every sound member, and every tear where it shows. Archives that follow each other in one file are read on.

    Raises:
        OSError: the store failed; an archive that is torn raises nothing.
    """
    cursor, state = _Cursor(stream), _State()
    while True:
        start = cursor.at
        name = None
        try:
            block = cursor.take(BLOCK)
            if not block:
                break
            header = _header(block, state)
            if isinstance(header, Tear):
                yield Tear(start, header.reason)
            if not isinstance(header, tarfile.TarInfo):
                continue
            name = state.extension.name or _text(header.name.encode("utf-8", "surrogateescape"))
            yield from _entry(cursor, header, state, wanted)
        except _CutError as reason:
            yield Tear(start, str(reason), member=name)
            return
    if not state.ended and not state.lost:
        yield Tear(start, "the archive ends without its end mark")


def _header(block: bytes, state: _State) -> tarfile.TarInfo | Tear | None:
    """Read one header; None for an end mark, for what lies behind it, and while the next sound header is looked for."""
    if len(block) == BLOCK and not block.strip(b"\0"):
        state.ended, state.lost = True, False
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as reason:
        if state.ended or state.lost:
            return None
        state.lost = True
        return Tear(0, f"no sound header: {reason}")
    state.ended = state.lost = False
    return header


def _entry(
    cursor: _Cursor, header: tarfile.TarInfo, state: _State, wanted: Callable[[str, int], bool]
) -> Iterator[Member]:
    """Read what follows a header: an extension of the next one, or a member."""
    if header.type in (*PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        if header.size > LONGEST_EXTENSION:
            raise _CutError(f"an extended header of {header.size:,} bytes, over {LONGEST_EXTENSION:,}")
        state.extension.learn(header.type, cursor.body(header.size, keep=True) or b"")
        cursor.take(-header.size % BLOCK)
        return
    extension, state.extension = state.extension, _Extension()
    name = extension.name or _text(header.name.encode("utf-8", "surrogateescape"))
    if header.type in LINKS:
        yield Member(name, cursor.at, 0, None, link=extension.link or header.linkname)
    elif not header.isdir():
        size = header.size if extension.size is None else extension.size
        offset = cursor.at
        data = cursor.body(size, keep=wanted(name, size))
        cursor.take(-size % BLOCK)
        yield Member(name, offset, size, data)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _pax_records(body: bytes) -> dict[str, str]:
    """Read `length keyword=value` lines; a line that is none ends them."""
    records: dict[str, str] = {}
    while body:
        length, space, _ = body.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(body):
            break
        keyword, _, value = body[len(length) + 1 : int(length) - 1].partition(b"=")
        records[_text(keyword)] = _text(value)
        body = body[int(length) :]
    return records
