"""A tar's header block: whose it is, what kind of entry follows, how long it is, and which holes it has.

Source: POSIX.1-2024 `pax` (ustar and its extended header records), and the GNU tar manual, "Storing Sparse Files".
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

BLOCK = 512
PAX = tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE
LONG = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
EXTENSIONS = (*PAX, tarfile.XGLTYPE, *LONG)
"""Kinds that say something of the entry behind them."""
BODILESS = (tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
"""Kinds that no bytes follow, whatever their size says."""
NO_FILE = {
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
    tarfile.DIRTYPE: "directory",
    b"D": "directory",
    b"V": "label",
}
"""Kinds that hold no file; GNU's `D` is a directory with the names in it, `V` a tape's label."""
GNU_MAGIC, POSIX_MAGIC = b"ustar  \0", b"ustar\0"
ESCAPED = re.compile(rb"\\x[0-9a-f]{2}")
MOST_PIECES = 1 << 20
"""Pieces of a sparse file; a map of more is not believed."""

Piece = tuple[int, int]
"""Where some bytes of a sparse file lie in it, and how many they are."""


class HeaderError(ValueError):
    """A block that is no sound header, or a map of holes that cannot be."""


@dataclass(frozen=True)
class Header:
    """One header block.

    Attributes:
        name: as its bytes stand there.
        kind: the type flag.
        size: bytes that follow.
        link: what a link points to.
        pieces: the map of a sparse file in GNU's old form, None for other kinds.
        real: the length of that file with its holes.
        more: whether blocks with more of the map follow.
    """

    name: bytes
    kind: bytes
    size: int
    link: bytes
    pieces: tuple[Piece, ...] | None = None
    real: int = 0
    more: bool = False


def parse(block: bytes) -> Header:
    """Read a header block.

    Raises:
        HeaderError: it is none, or it is damaged.
    """
    if len(block) < BLOCK:
        raise HeaderError(f"{len(block)} of {BLOCK} bytes are there")
    told, summed = number(block[148:156]), 256 + sum(block) - sum(block[148:156])
    if told != summed and told != summed - 256 * _high(block[:148] + block[156:]):  # old tars add up signed bytes
        raise HeaderError("bad checksum")
    kind, name = block[156:157], _until_nul(block[:100])
    prefix = _until_nul(block[345:500]) if block.startswith(POSIX_MAGIC, 257) else b""
    size = number(block[124:136])
    if size < 0:
        raise HeaderError(f"a size of {size:,} bytes")
    name, link = (prefix + b"/" + name if prefix else name), _until_nul(block[157:257])
    if kind == tarfile.GNUTYPE_SPARSE:
        return Header(name, kind, size, link, tuple(_pieces(block[386:482])), number(block[483:495]), bool(block[482]))
    return Header(name, kind, size, link)


def more_pieces(block: bytes) -> tuple[list[Piece], bool]:
    """Read a block that goes on with the map of GNU's old form; tell whether another one follows."""
    return list(_pieces(block[:504])), len(block) == BLOCK and bool(block[504])


def number(digits: bytes) -> int:
    """Read a number: octal digits, or base 256 where the first bit is set.

    Raises:
        HeaderError: it is none.
    """
    if digits[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(digits[1:], signed=False) - (256 ** (len(digits) - 1) if digits[0] == 0xFF else 0)
    text = _until_nul(digits).strip()
    try:
        return int(text or b"0", 8)
    except ValueError as reason:
        raise HeaderError(f"{digits!r} is no number") from reason


def text(name: bytes) -> str:
    r"""Write a name as text, so that no two names become one.

    UTF-8 stands as it is. In other names, and in those that would look like one, a byte that is no UTF-8 is `\xff` and
    a backslash is doubled.
    """
    try:
        sound = name.decode("utf-8")
        return sound if ESCAPED.search(name) is None else sound.replace("\\", "\\\\")
    except UnicodeDecodeError:
        return name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keywords and values of a pax header, lines `length keyword=value`; a line that is none ends them."""
    at = 0
    while at < len(body):
        digits, space, _ = body[at : at + 20].partition(b" ")
        if not space or not digits.isdigit() or not len(digits) < int(digits) <= len(body) - at:
            return
        end = at + int(digits)
        keyword, _, value = body[at + len(digits) + 1 : end - 1].partition(b"=")
        yield keyword, value
        at = end


@dataclass
class Extension:
    """What extended headers say of the entry behind them.

    Attributes:
        name: its name.
        link: what it points to.
        size: the bytes that follow its header.
        real: its length with its holes, where it is sparse.
        pieces: its map of holes as numbers, where and how many in turn.
        mapped: whether the map stands at the beginning of its bytes.
    """

    name: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    real: int | None = None
    pieces: list[int] | None = None
    mapped: bool = False
    _sparse_name: bytes | None = field(default=None, repr=False)

    @property
    def is_sparse(self) -> bool:
        """Tell whether the entry is a file with holes."""
        return self.mapped or self.real is not None or self.pieces is not None

    def learn(self, kind: bytes, body: bytes) -> None:
        """Take over a GNU long name or link, or pax records; a global pax header says nothing of one file."""
        if kind == tarfile.GNUTYPE_LONGNAME:
            self.name = body.rstrip(b"\0")
        elif kind == tarfile.GNUTYPE_LONGLINK:
            self.link = body.rstrip(b"\0")
        elif kind in PAX:
            for keyword, value in records(body):
                self._record(keyword, value)
            self.name = self._sparse_name or self.name

    def _record(self, keyword: bytes, value: bytes) -> None:
        match keyword:
            case b"path":
                self.name = value
            case b"GNU.sparse.name":
                self._sparse_name = value
            case b"linkpath":
                self.link = value
            case b"GNU.sparse.major":
                self.mapped = value == b"1"
            case b"GNU.sparse.map":
                self.pieces = [int(digits) for digits in value.split(b",") if digits.isdigit()]
        if value.isdigit():
            self._number(keyword, int(value))

    def _number(self, keyword: bytes, value: int) -> None:
        match keyword:
            case b"size":
                self.size = value
            case b"GNU.sparse.size" | b"GNU.sparse.realsize":
                self.real = value
            case b"GNU.sparse.offset" | b"GNU.sparse.numbytes":
                self.pieces = self.pieces or []
                self.pieces.append(value)


def paired(numbers: list[int]) -> list[Piece]:
    """Put a map's numbers in pairs."""
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def mapped(body: bytes) -> tuple[list[Piece], int]:
    """Read the map at the beginning of a sparse file's bytes: a count, then where and how many, a line each.

    Returns:
        The map, and the byte at which the file's own bytes begin.

    Raises:
        HeaderError: it is no map.
    """
    lines = body.split(b"\n", 1)
    if not lines[0].isdigit() or int(lines[0]) > MOST_PIECES:
        raise HeaderError("the map of holes does not begin with a count")
    count = 2 * int(lines[0])
    fields = body.split(b"\n", count + 1)[1 : count + 1] if len(body) else []
    if len(fields) < count or not all(digits.isdigit() for digits in fields):
        raise HeaderError("the map of holes is cut or damaged")
    length = len(lines[0]) + 1 + sum(len(digits) + 1 for digits in fields)
    return paired([int(digits) for digits in fields]), length + -length % BLOCK


def expanded(stored: bytes, pieces: list[Piece], real: int) -> bytes:
    """Put the pieces of a sparse file where they belong, with nothing but zeros between.

    Raises:
        HeaderError: the map does not fit the bytes.
    """
    whole, at = bytearray(real), 0
    for where, count in pieces:
        if where + count > real or at + count > len(stored):
            raise HeaderError(f"the map of holes wants {count:,} bytes at {where:,} of {real:,}")
        whole[where : where + count] = stored[at : at + count]
        at += count
    return bytes(whole)


def _pieces(fields: bytes) -> Iterator[Piece]:
    for start in range(0, len(fields) - 23, 24):
        if fields[start] == 0:
            return
        yield number(fields[start : start + 12]), number(fields[start + 12 : start + 24])


def _high(values: bytes) -> int:
    return sum(value > 127 for value in values)


def _until_nul(value: bytes) -> bytes:
    return value.partition(b"\0")[0]
