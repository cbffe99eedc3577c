"""Archive: reads a tar as a stream; yields every sound member in order, and the places where the archive is damaged.

`tarfile` ends silently at a header that it cannot read. This reader reports it, searches for the next valid header and
continues there, so that no sound member is lost.
"""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pipeline.scan.reading.compression import DamageError, Readable
from pipeline.scan.reading.cursor import Cursor, CutError
from pipeline.scan.reading.link_targets import LinkTargets
from pipeline.scan.reading.tar_header import (
    BLOCK,
    BODILESS,
    EXTENSIONS,
    MAX_PIECES,
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

MAX_EXTENSION_BYTES = 16 << 20
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)


@dataclass(frozen=True)
class Member:
    """A file of the archive.

    Attributes:
        name: its path in the archive.
        offset: where its bytes begin in the (uncompressed) archive; for a hard link, its target's.
        length: number of bytes.
        data: the bytes; None where they were not kept, or are unknown.
        link: the target of a link, None for a file.
        ranged: whether the archive's bytes from `offset` on are the file's content; not for a sparse file, nor for a
            link whose target did not come before it.
    """

    name: str
    offset: int
    length: int
    data: bytes | None
    link: str | None = None
    ranged: bool = True


@dataclass(frozen=True)
class ArchiveFault:
    """A place where the archive cannot be read.

    Attributes:
        offset: the byte at which it was found.
        reason: what is wrong there.
        member: the file that it cuts, None between files.
    """

    offset: int
    reason: str
    member: str | None = None


@dataclass(frozen=True)
class SkippedEntry:
    """An entry that holds no file: a directory, a device, a pipe.

    Attributes:
        name: its path in the archive.
        kind: what it is.
    """

    name: str
    kind: str


Part = Member | ArchiveFault | SkippedEntry
KeepBytes = Callable[[str, int, Callable[[], bytes]], bool]
"""Takes a member's name, its length and a function that peeks at its first bytes; tells whether to keep its bytes."""


@dataclass
class _State:
    """The reader's state between two headers.

    Attributes:
        ended: whether the last valid block was an end mark.
        searching: whether the next valid header is being searched for.
        trailing: where bytes after an end mark begin that are not a header.
        name: the member that is being read.
        extension: the extended headers of the next member.
        targets: what hard links may point to.
    """

    ended: bool = False
    searching: bool = False
    trailing: int | None = None
    name: str | None = None
    extension: Extension = field(default_factory=Extension)
    targets: LinkTargets = field(default_factory=LinkTargets)


def members(stream: Readable, keep: KeepBytes) -> Iterator[Part]:
    """Read an archive from its first byte to its last.

    Args:
        stream: the archive, already decompressed; it is read sequentially.
        keep: tells whether a member's bytes are kept.

    Yields:
        Every sound member, every fault where it was found, and every skipped entry. Concatenated archives are read to
        the last one; bytes after an end mark are no fault unless a header follows.

    Raises:
        OSError: the store failed; a damaged archive raises nothing.
    """
    cursor, state = Cursor(stream), _State()
    start = 0
    try:
        while True:
            if state.ended and state.trailing is None:
                cursor.skip_zeros()
            start, state.name = cursor.at, None
            block = cursor.take(BLOCK)
            if not block:
                break
            header = _header(block, start, state)
            if isinstance(header, ArchiveFault):
                yield header
            elif header is not None:
                if state.trailing is not None:
                    yield ArchiveFault(state.trailing, "bytes that belong to no member lie here")
                state.ended, state.searching, state.trailing = False, False, None
                yield from _entry(cursor, header, state, keep)
    except (CutError, DamageError) as reason:
        if not state.ended or getattr(reason, "given", False):
            yield ArchiveFault(start, str(reason), member=state.name)
        return
    if not state.ended and not state.searching:
        yield ArchiveFault(start, "the archive ends without its end mark")


def _header(block: bytes, start: int, state: _State) -> Header | ArchiveFault | None:
    """Read one header; None for an end mark, for bytes after it, and while the next valid header is searched for."""
    if len(block) == BLOCK and not block.strip(b"\0"):
        state.ended, state.searching = True, False
        return None
    try:
        return parse(block)
    except HeaderError as reason:
        if state.ended:
            state.trailing = start if state.trailing is None else state.trailing
        if state.ended or state.searching:
            return None
        state.searching, state.extension = True, Extension()
        return ArchiveFault(start, f"no sound header: {reason}")


def _entry(cursor: Cursor, header: Header, state: _State, keep: KeepBytes) -> Iterator[Part]:
    """Read what follows a header: an extension of the next one, a member, or an entry that holds no file."""
    if header.kind in EXTENSIONS:
        yield from _extend(cursor, header, state)
        return
    extension, state.extension = state.extension, Extension()
    raw = header.name if extension.name is None else extension.name
    name = state.name = text(raw)
    size = header.size if extension.size is None else extension.size
    if header.kind in (tarfile.AREGTYPE, tarfile.REGTYPE) and raw.endswith(b"/") and not size:
        header = replace(header, kind=tarfile.DIRTYPE)  # as in tars from before 1988
    if header.kind in LINKS:
        target = text(header.link if extension.link is None else extension.link)
        if header.kind == tarfile.SYMTYPE:
            yield Member(name, cursor.at, 0, None, link=target, ranged=False)
        elif size and _has_bytes(cursor):
            yield _file(cursor, name, size, state, keep)
        else:
            yield _link(name, target, cursor.at, state)
    elif header.kind in NO_FILE:
        cursor.body(0 if header.kind in BODILESS else size + -size % BLOCK, keep=False)
        yield SkippedEntry(name, NO_FILE[header.kind])
    elif header.kind == tarfile.GNUTYPE_SPARSE or extension.is_sparse:
        yield _sparse(cursor, replace(header, size=size), extension, state, keep)
    else:
        yield _file(cursor, name, size, state, keep)


def _extend(cursor: Cursor, header: Header, state: _State) -> Iterator[ArchiveFault]:
    start = cursor.at
    if header.size > MAX_EXTENSION_BYTES:
        cursor.body(header.size, keep=False)
        yield ArchiveFault(start, f"an extended header of {header.size:,} bytes, over {MAX_EXTENSION_BYTES:,}")
    else:
        body = cursor.body(header.size, keep=True) or b""
        try:
            state.extension.add(header.kind, body)
        except HeaderError as reason:
            state.extension = Extension()  # the next entry is then read by its own header alone
            yield ArchiveFault(start, f"an extended header that cannot be read: {reason}")
    cursor.take(-header.size % BLOCK)


def _file(cursor: Cursor, name: str, size: int, state: _State, keep: KeepBytes) -> Member:
    offset = cursor.at
    data = cursor.body(size, keep=keep(name, size, lambda: cursor.peek(size)))
    cursor.take(-size % BLOCK)
    member = Member(name, offset, size, data)
    state.targets.keep(name, offset, size, data)
    return member


def _has_bytes(cursor: Cursor) -> bool:
    """Tell whether a hard link with a size is followed by bytes: some writers add them, others do not."""
    block = cursor.peek(BLOCK)
    if not block.strip(b"\0"):
        return False
    try:
        parse(block)
    except HeaderError:
        return True
    return False


def _link(name: str, target: str, at: int, state: _State) -> Member:
    """Make a hard link's member, with the place and the bytes of its target."""
    place = state.targets.find(target)
    if place is None:
        return Member(name, at, 0, None, link=target, ranged=False)
    offset, length, data = place
    state.targets.keep(name, offset, length, data)
    return Member(name, offset, length, data, link=target)


def _sparse(cursor: Cursor, header: Header, extension: Extension, state: _State, keep: KeepBytes) -> Part:
    """Read a sparse file with its holes; it has no byte range, since its content is not contiguous in the archive."""
    name, pieces, more = str(state.name), list(header.pieces or ()), header.more
    try:
        while more:
            found, more = more_pieces(cursor.take(BLOCK))
            pieces += found
            if len(pieces) > MAX_PIECES:
                raise HeaderError(f"a map of holes of more than {MAX_PIECES:,} pieces")
        real = header.real if header.pieces is not None else extension.real
        real = header.size if real is None else real
        start = cursor.at
        is_kept = keep(name, real, lambda: b"") and header.size <= real + MAX_EXTENSION_BYTES
        stored = cursor.body(header.size, keep=is_kept)
        cursor.take(-header.size % BLOCK)
        if stored is None:
            return Member(name, start, real, None, ranged=False)
        if header.pieces is None:
            pieces, begin = mapped(stored) if extension.mapped else (paired(extension.pieces or []), 0)
            stored = stored[begin:]
        return Member(name, start, real, expanded(stored, pieces, real), ranged=False)
    except HeaderError as reason:
        return ArchiveFault(cursor.at, str(reason), member=name)
