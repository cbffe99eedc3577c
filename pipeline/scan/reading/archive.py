"""A tar as a stream: every sound member in order, and where the archive is torn.

`tarfile` ends without a word at a header that it cannot read; here the reader says so, looks for the next sound
header, and goes on, so that no sound member is lost.
"""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pipeline.scan.reading.compression import DamageError, Readable
from pipeline.scan.reading.cursor import Cursor, CutError
from pipeline.scan.reading.header import (
    BLOCK,
    BODILESS,
    EXTENSIONS,
    NO_FILE,
    Extension,
    Header,
    HeaderError,
    expanded,
    mapped,
    more_pieces,
    paired,
    parse,
    text,
)
from pipeline.scan.reading.link_targets import Linked

LONGEST_EXTENSION = 16 << 20
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)


@dataclass(frozen=True)
class Member:
    """A file of the archive.

    Attributes:
        name: its path in the archive.
        offset: where its bytes begin in the (uncompressed) archive; of a hard link its target's.
        length: how many there are.
        data: the bytes; None where they were not wanted, or are not known.
        link: what a link points to, None for a file.
        ranged: whether the archive's bytes from `offset` on are the file's own: not where it is sparse, nor where a
            link points to nothing that came before.
    """

    name: str
    offset: int
    length: int
    data: bytes | None
    link: str | None = None
    ranged: bool = True


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


@dataclass(frozen=True)
class Passed:
    """An entry that holds no file: a directory, a device, a pipe.

    Attributes:
        name: its path in the archive.
        kind: what it is.
    """

    name: str
    kind: str


Part = Member | Tear | Passed
Wanted = Callable[[str, int, Callable[[], bytes]], bool]
"""Told a member's name and length, and how to look at its first bytes, says whether its bytes are kept."""


@dataclass
class _State:
    """What the reader knows between two headers.

    Attributes:
        ended: an end mark was the last sound thing.
        lost: the next sound header is looked for.
        strange: where bytes that are no header began behind an end mark.
        name: the member that is being read.
        linked: what hard links may point to.
    """

    ended: bool = False
    lost: bool = False
    strange: int | None = None
    name: str | None = None
    extension: Extension = field(default_factory=Extension)
    linked: Linked = field(default_factory=Linked)


def members(stream: Readable, wanted: Wanted) -> Iterator[Part]:
    """Read an archive from its first byte to its last.

    Args:
        stream: the archive, already decompressed; it is only read forwards.
        wanted: told a member's name and length, and how to look at its first bytes, says whether its bytes are kept.

    Yields:
        Every sound member, every tear where it shows, and what holds no file. Archives that follow each other in one
        file are read on; behind an end mark nothing is torn.

    Raises:
        OSError: the store failed; an archive that is torn raises nothing.
    """
    cursor, state = Cursor(stream), _State()
    start = 0
    try:
        while True:
            if state.ended and state.strange is None:
                cursor.pass_zeros()
            start, state.name = cursor.at, None
            block = cursor.take(BLOCK)
            if not block:
                break
            header = _header(block, start, state)
            if isinstance(header, Tear):
                yield header
            elif header is not None:
                if state.strange is not None:
                    yield Tear(state.strange, "bytes that belong to no member lie here")
                state.ended, state.lost, state.strange = False, False, None
                yield from _entry(cursor, header, state, wanted)
    except (CutError, DamageError) as reason:
        if not state.ended or getattr(reason, "given", False):
            yield Tear(start, str(reason), member=state.name)
        return
    if not state.ended and not state.lost:
        yield Tear(start, "the archive ends without its end mark")


def _header(block: bytes, start: int, state: _State) -> Header | Tear | None:
    """Read one header; None for an end mark, for what lies behind it, and while the next sound header is looked for."""
    if len(block) == BLOCK and not block.strip(b"\0"):
        state.ended, state.lost = True, False
        return None
    try:
        return parse(block)
    except HeaderError as reason:
        if state.ended:
            state.strange = start if state.strange is None else state.strange
        if state.ended or state.lost:
            return None
        state.lost, state.extension = True, Extension()
        return Tear(start, f"no sound header: {reason}")


def _entry(cursor: Cursor, header: Header, state: _State, wanted: Wanted) -> Iterator[Part]:
    """Read what follows a header: an extension of the next one, a member, or something that is no file."""
    if header.kind in EXTENSIONS:
        yield from _extend(cursor, header, state)
        return
    extension, state.extension = state.extension, Extension()
    raw = header.name if extension.name is None else extension.name
    name = state.name = text(raw)
    size = header.size if extension.size is None else extension.size
    if header.kind in (tarfile.AREGTYPE, tarfile.REGTYPE) and raw.endswith(b"/") and not size:
        header = replace(header, kind=tarfile.DIRTYPE)  # how tars from before 1988 say it
    if header.kind in LINKS:
        target = text(header.link if extension.link is None else extension.link)
        if header.kind == tarfile.SYMTYPE:
            yield Member(name, cursor.at, 0, None, link=target, ranged=False)
        elif size and _brings_bytes(cursor):
            yield _file(cursor, name, size, state, wanted)
        else:
            yield _link(name, target, cursor.at, state)
    elif header.kind in NO_FILE:
        cursor.body(0 if header.kind in BODILESS else size + -size % BLOCK, keep=False)
        yield Passed(name, NO_FILE[header.kind])
    elif header.kind == tarfile.GNUTYPE_SPARSE or extension.is_sparse:
        yield _sparse(cursor, replace(header, size=size), extension, state, wanted)
    else:
        yield _file(cursor, name, size, state, wanted)


def _extend(cursor: Cursor, header: Header, state: _State) -> Iterator[Tear]:
    start = cursor.at
    if header.size > LONGEST_EXTENSION:
        cursor.body(header.size, keep=False)
        yield Tear(start, f"an extended header of {header.size:,} bytes, over {LONGEST_EXTENSION:,}")
    else:
        state.extension.learn(header.kind, cursor.body(header.size, keep=True) or b"")
    cursor.take(-header.size % BLOCK)


def _file(cursor: Cursor, name: str, size: int, state: _State, wanted: Wanted) -> Member:
    offset = cursor.at
    data = cursor.body(size, keep=wanted(name, size, lambda: cursor.peek(size)))
    cursor.take(-size % BLOCK)
    member = Member(name, offset, size, data)
    state.linked.keep(name, offset, size, data)
    return member


def _brings_bytes(cursor: Cursor) -> bool:
    """Tell whether a hard link with a size is followed by the bytes: some writers add them, others do not."""
    block = cursor.peek(BLOCK)
    if not block.strip(b"\0"):
        return False
    try:
        parse(block)
    except HeaderError:
        return True
    return False


def _link(name: str, target: str, at: int, state: _State) -> Member:
    """Give a hard link the place and the bytes of its target."""
    place = state.linked.find(target)
    if place is None:
        return Member(name, at, 0, None, link=target, ranged=False)
    offset, length, data = place
    state.linked.keep(name, offset, length, data)
    return Member(name, offset, length, data, link=target)


def _sparse(cursor: Cursor, header: Header, extension: Extension, state: _State, wanted: Wanted) -> Part:
    """Read a sparse file with its holes; its bytes in the archive are not its own, so it has no range."""
    name, pieces, more = str(state.name), list(header.pieces or ()), header.more
    try:
        while more:
            found, more = more_pieces(cursor.take(BLOCK))
            pieces += found
        real = header.real if header.pieces is not None else extension.real
        real = header.size if real is None else real
        start = cursor.at
        keep = wanted(name, real, lambda: b"") and header.size <= real + LONGEST_EXTENSION
        stored = cursor.body(header.size, keep=keep)
        cursor.take(-header.size % BLOCK)
        if stored is None:
            return Member(name, start, real, None, ranged=False)
        if header.pieces is None:
            pieces, begin = mapped(stored) if extension.mapped else (paired(extension.pieces or []), 0)
            stored = stored[begin:]
        return Member(name, start, real, expanded(stored, pieces, real), ranged=False)
    except HeaderError as reason:
        return Tear(cursor.at, str(reason), member=name)
