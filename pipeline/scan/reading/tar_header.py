"""Tar header: parses a tar's header blocks, extended headers and maps of sparse files.

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
"""Kinds that describe the next entry."""
BODILESS = (tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
"""Kinds without a body, whatever their size field says."""
NO_FILE = {
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
    tarfile.DIRTYPE: "directory",
    b"D": "directory",
    b"V": "label",
}
"""Kinds that are not files; GNU's `D` is a directory with a list of its names, `V` a volume label."""
GNU_MAGIC, POSIX_MAGIC = b"ustar  \0", b"ustar\0"
ESCAPED = re.compile(rb"\\x[0-9a-f]{2}")
MAX_PIECES = 1 << 20
"""Maximum pieces of a sparse file; a larger map is refused."""
MAX_SIZE = (1 << 63) - 1
"""Maximum bytes of a file, as the table's columns hold them."""
MAX_NAME_BYTES = 1 << 16
"""Maximum bytes of a name or of a link's target; Linux opens none over 4,096."""
LOW = bytes(range(128))

Piece = tuple[int, int]
"""Offset in a sparse file, and number of bytes there."""


class HeaderError(ValueError):
    """A block that is not a valid header, or an impossible map of holes."""


@dataclass(frozen=True)
class Header:
    """One header block.

    Attributes:
        name: its raw bytes.
        kind: the type flag.
        size: bytes of the body.
        link: the target of a link.
        pieces: the map of a sparse file in GNU's old format, None for other kinds.
        real: the length of that file with its holes.
        more: whether blocks that continue the map follow.
    """

    name: bytes
    kind: bytes
    size: int
    link: bytes
    pieces: tuple[Piece, ...] | None = None
    real: int = 0
    more: bool = False


def parse(block: bytes) -> Header:
    """Parse a header block.

    Raises:
        HeaderError: it is not a header, or it is damaged.
    """
    if len(block) < BLOCK:
        raise HeaderError(f"{len(block)} of {BLOCK} bytes are there")
    stated, summed = number(block[148:156]), 256 + sum(block) - sum(block[148:156])
    if stated != summed and stated != summed - 256 * _high(block[:148] + block[156:]):  # old tars sum signed bytes
        raise HeaderError(f"bad checksum: {stated} is stated, and its bytes sum to {summed}")
    kind, name = block[156:157], _until_nul(block[:100])
    prefix = _until_nul(block[345:500]) if block.startswith(POSIX_MAGIC, 257) else b""
    size = number(block[124:136])
    if size < 0:
        raise HeaderError(f"a size of {size:,} bytes")
    name, link = (prefix + b"/" + name if prefix else name), _until_nul(block[157:257])
    if kind == tarfile.GNUTYPE_SPARSE:
        real = number(block[483:495])
        if not 0 <= real <= MAX_SIZE:
            raise HeaderError(f"a sparse file of {real:,} bytes")
        return Header(name, kind, size, link, tuple(_pieces(block[386:482])), real, bool(block[482]))
    return Header(name, kind, size, link)


def more_pieces(block: bytes) -> tuple[list[Piece], bool]:
    """Parse a block that continues a map in GNU's old format; tells whether another block follows."""
    return list(_pieces(block[:504])), len(block) == BLOCK and bool(block[504])


def number(digits: bytes) -> int:
    """Parse a number: octal digits, or base 256 where the first bit is set.

    Raises:
        HeaderError: it is not a number.
    """
    if digits[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(digits[1:], signed=False) - (256 ** (len(digits) - 1) if digits[0] == 0xFF else 0)
    text = _until_nul(digits).strip()
    try:
        return int(text or b"0", 8)
    except ValueError as reason:
        raise HeaderError(f"{digits!r} is no number") from reason


def text(name: bytes) -> str:
    r"""Decode a name reversibly, so that different names stay different.

    UTF-8 is decoded as it is. In other names, and in names that look like an escaped one, a byte that is not UTF-8
    becomes `\xff` and a backslash is doubled.
    """
    try:
        sound = name.decode("utf-8")
        return sound if ESCAPED.search(name) is None else sound.replace("\\", "\\\\")
    except UnicodeDecodeError:
        return name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keywords and values of a pax header, lines `length keyword=value`, up to the first invalid line."""
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
    """The extended headers of the next entry.

    Attributes:
        name: its name.
        link: the target of a link.
        size: bytes of its body.
        real: its length with its holes, if it is sparse.
        pieces: its map of holes as numbers, offsets and lengths in turn.
        mapped: whether its body begins with the map.
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

    def add(self, kind: bytes, body: bytes) -> None:
        """Add a GNU long name or link, or pax records; a global pax header does not describe a file.

        Raises:
            HeaderError: a name, a number, or the map of a sparse file is too large.
        """
        if kind == tarfile.GNUTYPE_LONGNAME:
            self.name = body.rstrip(b"\0")
        elif kind == tarfile.GNUTYPE_LONGLINK:
            self.link = body.rstrip(b"\0")
        elif kind in PAX:
            for keyword, value in records(body):
                self._record(keyword, value)
            self.name = self._sparse_name or self.name
        longest = max(len(self.name or b""), len(self.link or b""))
        if longest > MAX_NAME_BYTES:
            raise HeaderError(f"a name of {longest:,} bytes, over the bound of {MAX_NAME_BYTES:,}")

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
                self.pieces = [decimal(digits) for digits in value.split(b",") if digits.isdigit()]
            case b"size" | b"GNU.sparse.size" | b"GNU.sparse.realsize" | b"GNU.sparse.offset" | b"GNU.sparse.numbytes":
                if value.isdigit():
                    self._number(keyword, decimal(value))
        if len(self.pieces or ()) > 2 * MAX_PIECES:
            raise HeaderError(f"a map of holes of more than {MAX_PIECES:,} pieces")

    def _number(self, keyword: bytes, value: int) -> None:
        match keyword:
            case b"size":
                self.size = value
            case b"GNU.sparse.size" | b"GNU.sparse.realsize":
                self.real = value
            case b"GNU.sparse.offset" | b"GNU.sparse.numbytes":
                self.pieces = self.pieces or []
                self.pieces.append(value)


def decimal(digits: bytes) -> int:
    """Parse decimal digits.

    Raises:
        HeaderError: they are no number of bytes.
    """
    if not digits.isdigit() or len(digits) > 19 or int(digits) > MAX_SIZE:
        raise HeaderError(f"{digits[:40]!r} is no number of bytes")
    return int(digits)


def paired(numbers: list[int]) -> list[Piece]:
    """Pair a map's numbers."""
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def mapped(body: bytes) -> tuple[list[Piece], int]:
    """Parse the map at the beginning of a sparse file's body: a count, then offsets and lengths, a line each.

    Returns:
        The map, and the byte at which the file's content begins.

    Raises:
        HeaderError: it is not a map.
    """
    lines = body.split(b"\n", 1)
    if not lines[0].isdigit() or decimal(lines[0]) > MAX_PIECES:
        raise HeaderError(f"the map of holes begins with {lines[0][:20]!r}, and not with a count up to {MAX_PIECES:,}")
    count = 2 * decimal(lines[0])
    fields = body.split(b"\n", count + 1)[1 : count + 1] if len(body) else []
    if len(fields) < count or not all(digits.isdigit() for digits in fields):
        there = sum(digits.isdigit() for digits in fields)
        raise HeaderError(f"the map of holes is cut or damaged: {there:,} of {count:,} numbers are there")
    length = len(lines[0]) + 1 + sum(len(digits) + 1 for digits in fields)
    return paired([decimal(digits) for digits in fields]), length + -length % BLOCK


def expanded(stored: bytes, pieces: list[Piece], real: int) -> bytes:
    """Expand a sparse file: its pieces at their offsets, zeros between them.

    Raises:
        HeaderError: the map does not fit the bytes.
    """
    whole, at = bytearray(real), 0
    for offset, count in pieces:
        if offset + count > real or at + count > len(stored):
            raise HeaderError(f"the map of holes wants {count:,} bytes at {offset:,} of {real:,}")
        whole[offset : offset + count] = stored[at : at + count]
        at += count
    return bytes(whole)


def _pieces(fields: bytes) -> Iterator[Piece]:
    for start in range(0, len(fields) - 23, 24):
        if fields[start] == 0:
            return
        piece = number(fields[start : start + 12]), number(fields[start + 12 : start + 24])
        if min(piece) < 0:
            raise HeaderError(f"a map of holes with {piece[1]:,} bytes at {piece[0]:,}")
        yield piece


def _high(values: bytes) -> int:
    """Count the bytes over 127, without a step for each: a damaged archive is searched block by block."""
    return len(values.translate(None, LOW))


def _until_nul(value: bytes) -> bytes:
    return value.partition(b"\0")[0]
