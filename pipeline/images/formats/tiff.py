"""TIFF: inspects the directories to tell a picture from a camera raw or a preview.

Source: TIFF 6.0, Adobe's technical notes on TIFF trees, DNG 1.7, BigTIFF as libtiff writes it.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.images.formats.layout import Layout, too_large, truncated, unsupported

MAX_ENTRIES = 65_536
MAX_DIRECTORIES = 64
MAX_PIECES = 200_000
"""Strips or tiles of a page."""
MAX_COVERAGE = 4
"""Maximum ratio of the tiles' pixels to the page's, beyond `SPARE_PIXELS`."""
SPARE_PIXELS = 1 << 24

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
TYPE_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
(SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, MAKE, STRIPS, SAMPLES, ROWS, STRIP_BYTES) = (
    254, 256, 257, 258, 259, 262, 271, 273, 277, 278, 279,
)  # fmt: skip
TILE_WIDTH, TILE_HEIGHT, TILES, SUB_IFDS, SAMPLE_FORMAT, SUBSAMPLING, DNG = 322, 323, 324, 330, 339, 530, 50706

RAW_PHOTOMETRIC = {32803, 34892}
"""A colour filter array, and a sensor's linear values."""
RAW_COMPRESSION = {32767, 32770, 32772, 34713, 65000, 65535}
"""Proprietary codes of Sony, Samsung (two), Nikon, Kodak and Pentax."""
READ_COMPRESSION = {1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34925, 50000}
"""Compressions that Pillow or libtiff reads."""
MAKERS = {
    "nikon": "nef", "sony": "arw", "pentax": "pef", "ricoh": "pef", "samsung": "srw", "canon": "cr2", "olympus": "orf",
    "panasonic": "rw2", "hasselblad": "3fr", "kodak": "dcr", "eastman": "dcr", "epson": "erf", "leaf": "mos",
    "mamiya": "mef", "phase one": "iiq", "fuji": "raf", "leica": "rwl",
}  # fmt: skip


@dataclass
class Directory:
    """An image file directory: the first values of its tags, and their counts."""

    values: dict[int, tuple[int, ...]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    make: bytes = b""
    next_offset: int = 0

    def first(self, tag: int, default: int = 0) -> int:
        """Return a tag's first value."""
        return self.values.get(tag, (default,))[0]

    @property
    def area(self) -> int:
        """Number of pixels of its image."""
        return self.first(WIDTH) * self.first(HEIGHT)


def inspect(data: bytes) -> Layout:
    """Inspect a TIFF.

    Args:
        data: the whole file.

    Raises:
        RefusalError: it has no complete directory, is a camera raw or its preview, is of an unsupported kind, or
            exceeds a bound.
    """
    pages = directories(data)
    page = next(pages, None)
    if page is None or not page.first(WIDTH) or not page.first(HEIGHT):
        raise truncated(f"no complete directory in {len(data):,} bytes")
    _check_raw(page, list(pages))
    _check_samples(page)
    wide, high = page.first(WIDTH), page.first(HEIGHT)
    turned = page.first(274, 1) in (5, 6, 7, 8)
    grey = page.first(SAMPLE_FORMAT, 1) == 1
    return Layout(
        data,
        (high, wide) if turned else (wide, high),
        bytes_per_pixel=8,  # Pillow turns a page by copying it
        memory=_piece_bytes(page),
        white=(1 << page.first(BITS, 1)) - 1 if grey else None,
        inverted=page.first(PHOTOMETRIC) == 0 and page.first(BITS, 1) > 8,
        kind=_described(page),
    )


def directories(data: bytes) -> Iterator[Directory]:
    """Yield the directories of a chain, each before its sub-directories; a damaged one ends the chain.

    Args:
        data: a TIFF, or an EXIF block without its header.

    Raises:
        RefusalError: a directory has too many entries or too large values.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    start = data[8:16] if big else data[4:8]
    ahead = [int.from_bytes(start, "little" if order == "<" else "big")]
    seen: set[int] = set()
    while ahead and len(seen) < MAX_DIRECTORIES:
        at = ahead.pop(0)
        if at in seen or not 0 < at < len(data):
            continue
        seen.add(at)
        found = _directory(data, at, order, big=big)
        if found is None:
            continue
        yield found
        ahead = [*found.values.get(SUB_IFDS, ())[:MAX_DIRECTORIES], *ahead, found.next_offset]


def _directory(data: bytes, at: int, order: str, *, big: bool) -> Directory | None:
    """Read a directory; None if the file ends within it."""
    count_form, entry_form, inline = ("Q", "HHQ8s", 8) if big else ("H", "HHL4s", 4)
    entry = struct.Struct(order + entry_form)
    begin = at + struct.calcsize(order + count_form)
    if begin > len(data):
        return None
    (count,) = struct.unpack_from(order + count_form, data, at)
    end = begin + count * entry.size
    if count > MAX_ENTRIES:
        raise too_large(f"a directory of {count:,} entries, over the bound of {MAX_ENTRIES:,}")
    if end > len(data):
        return None
    found, outside = Directory(), 0
    for tag, kind, number, raw in entry.iter_unpack(data[begin:end]):
        size = number * TYPE_BYTES.get(kind, 0)
        outside += size if size > inline else 0
        if tag in found.counts:
            continue
        place = struct.unpack(order + ("Q" if big else "L"), raw)[0]
        held = raw[:size] if size <= inline else data[place : place + min(size, 1024)]
        found.counts[tag] = number
        code = TYPE_CODES.get(kind, "")
        if tag == MAKE:
            found.make = held
        elif code and len(held) >= TYPE_BYTES[kind]:
            fits = len(held) // TYPE_BYTES[kind]
            values = struct.unpack_from(f"{order}{fits}{code}", held)
            if min(values) >= 0:  # no tag that is read here may be negative; libtiff drops it too
                found.values[tag] = values
    if outside > len(data):
        raise truncated(f"a directory whose values take {outside:,} bytes, more than the file has")
    found.next_offset = int.from_bytes(data[end : end + inline], "little" if order == "<" else "big")
    return found


def _check_raw(page: Directory, others: list[Directory]) -> None:
    """Refuse a camera raw, whatever preview it has, and a first page that is a preview of another."""
    every = [page, *others]
    make = page.make.rstrip(b"\0 ").decode("latin-1")
    name = "dng" if DNG in page.counts else next((n for m, n in MAKERS.items() if make.lower().startswith(m)), "raw")
    sensor = any(
        one.first(PHOTOMETRIC) in RAW_PHOTOMETRIC or one.first(COMPRESSION) in RAW_COMPRESSION for one in every
    )
    if sensor or DNG in page.counts:
        raise unsupported(f"camera raw ({make or 'no maker named'}): not supported", name)
    larger = max((other.area for other in others), default=0)
    if page.first(SUBFILE) & 1 and larger > page.area:
        raise unsupported(f"TIFF whose first page is a preview of {page.first(WIDTH)} x {page.first(HEIGHT)} pixels")


def _check_samples(page: Directory) -> None:
    """Refuse samples with an unknown white level, and layouts that Pillow would misread."""
    bits, form = page.first(BITS, 1), page.first(SAMPLE_FORMAT, 1)
    if page.first(COMPRESSION, 1) not in READ_COMPRESSION:
        raise unsupported(f"TIFF of compression {page.first(COMPRESSION)}")
    if form == 2 or (form == 1 and bits >= 32):
        raise unsupported(f"{_described(page)}: the white level is unknown")
    if page.first(PHOTOMETRIC) == 6 and page.first(COMPRESSION, 1) == 1:
        stored = sum(page.values.get(STRIP_BYTES, ()))
        subsampled = page.values.get(SUBSAMPLING, (2, 2)) != (1, 1)
        if subsampled and page.counts.get(STRIP_BYTES, 0) < 128 and stored < 3 * page.area:
            raise unsupported("TIFF of subsampled YCbCr without compression")


def _piece_bytes(page: Directory) -> int:
    """Return the uncompressed size of a strip or tile in bytes.

    Raises:
        RefusalError: there are too many strips or tiles, or they cover far more than the page.
    """
    wide, high = page.first(WIDTH), page.first(HEIGHT)
    across, down = page.first(TILE_WIDTH) or wide, page.first(TILE_HEIGHT)
    if TILES not in page.counts:
        across, down = wide, min(high, page.first(ROWS) or high)
    pieces = math.ceil(wide / across) * math.ceil(high / max(1, down))
    parts = max(pieces, page.counts.get(STRIPS, 0), page.counts.get(TILES, 0))
    if parts > MAX_PIECES:
        raise too_large(f"{parts:,} strips or tiles, over the bound of {MAX_PIECES:,}")
    if pieces * across * down > MAX_COVERAGE * wide * high + SPARE_PIXELS:
        raise too_large(f"tiles of {across:,} x {down:,} pixels for a page of {wide:,} x {high:,}")
    return across * down * max(1, page.first(SAMPLES, 1)) * page.first(BITS, 1) // 8


def _described(page: Directory) -> str:
    form = {1: "integer", 2: "signed integer", 3: "floating-point"}.get(page.first(SAMPLE_FORMAT, 1), "untyped")
    bits, samples, colours = page.first(BITS, 1), page.first(SAMPLES, 1), page.first(PHOTOMETRIC)
    return f"TIFF of {samples} x {bits}-bit {form} samples, photometric interpretation {colours}"
