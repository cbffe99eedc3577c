"""Boxes: metadata of box-based formats: AVIF and HEIC (ISO/IEC 23008-12), JPEG 2000, JPEG XL."""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.images.metadata.block import (
    EXIF_MARK,
    MAX_BLOCK_BYTES,
    MAX_STEPS,
    MAX_STORE_BYTES,
    XMP_MARK,
    Block,
    c2pa_block,
    xmp_block,
)
from pipeline.images.metadata.iptc import resources

MAX_ITEMS = 20_000
MAX_EXTENTS = 1_000
MAX_NAME_BYTES = 64

UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481"): "c2pa",
}
"""Metadata kinds of `uuid` boxes."""

TIFF_MARKS = (b"II*\0", b"MM\0*")


class Box(NamedTuple):
    """A box: its kind, start, start of its body, and end."""

    kind: bytes
    start: int
    body: int
    end: int


class _Item(NamedTuple):
    """An item's id and kind of metadata."""

    number: int
    kind: str


def metadata(data: bytes) -> Iterator[Block]:
    """Yield the metadata of a file's boxes and of the items of its `meta` box.

    Args:
        data: the whole file; a damaged one gives the blocks before the damage.
    """
    for box in walk(data, 0, len(data)):
        match box.kind:
            case b"meta":
                yield from _items(data, box)
            case b"uuid":
                yield from _uuid(UUIDS.get(data[box.body : box.body + 16], ""), data, box)
            case b"Exif":
                yield from _exif(data[box.body : min(box.end, box.body + MAX_BLOCK_BYTES)])
            case b"xml ":
                yield xmp_block(data[box.body : min(box.end, box.body + MAX_BLOCK_BYTES)])
            case b"jumb" if b"c2pa" in data[box.body : box.body + 64]:
                yield c2pa_block(data[box.start : min(box.end, box.start + MAX_STORE_BYTES + 1)])


def walk(data: bytes, at: int, end: int) -> Iterator[Box]:
    """Yield consecutive boxes between two positions; an invalid length ends them."""
    for _ in range(MAX_STEPS):
        if at + 8 > end:
            return
        length, kind, body = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, body = int.from_bytes(data[at + 8 : at + 16]), at + 16
        elif length == 0:
            length = end - at
        if length < body - at:
            return
        yield Box(kind, at, min(body, end), min(at + length, end))
        at += length


def _uuid(kind: str, data: bytes, box: Box) -> Iterator[Block]:
    start = box.body + 16
    if kind == "c2pa":
        purpose, _, _ = data[start + 4 : start + 4 + MAX_NAME_BYTES].partition(b"\0")
        if purpose in (b"manifest", b"original", b"update"):
            start += 4 + len(purpose) + 1 + 8
            yield c2pa_block(data[start : min(box.end, start + MAX_STORE_BYTES + 1)])
        return
    body = data[start : min(box.end, start + MAX_BLOCK_BYTES)]
    if kind == "iptc":
        yield from resources(body)
    elif kind == "xmp":
        yield xmp_block(body)
    elif kind:
        yield Block("exif", "", body.removeprefix(EXIF_MARK))


def _exif(body: bytes) -> Iterator[Block]:
    """Yield the TIFF structure after its four-byte offset, which some writers omit or get wrong."""
    offset = 4 + int.from_bytes(body[:4])
    if not body.startswith(TIFF_MARKS, offset):
        offset = min((at for mark in TIFF_MARKS if (at := body[:MAX_NAME_BYTES].find(mark)) >= 0), default=-1)
    if offset >= 0:
        yield Block("exif", "", body[offset:])


def _items(data: bytes, meta: Box) -> Iterator[Block]:
    """Yield the metadata items listed in `iinf`, located by `iloc`."""
    inside: dict[bytes, Box] = {}
    for box in walk(data, meta.body + 4, meta.end):
        inside.setdefault(box.kind, box)
    if b"iinf" not in inside or b"iloc" not in inside:
        return
    wanted = {item.number: item.kind for item in _named(data, inside[b"iinf"])}
    for item, body in _located(data, inside[b"iloc"], wanted, inside.get(b"idat")):
        if item.kind == "exif":
            yield from _exif(body)
        else:
            yield xmp_block(body.removeprefix(XMP_MARK))


def _named(data: bytes, iinf: Box) -> Iterator[_Item]:
    count = 2 if data[iinf.body : iinf.body + 1] == b"\0" else 4
    for step, box in enumerate(walk(data, iinf.body + 4 + count, iinf.end)):
        version = data[box.body : box.body + 1]
        if step >= MAX_ITEMS or version not in (b"\2", b"\3"):
            return
        size = 2 if version == b"\2" else 4
        number = int.from_bytes(data[box.body + 4 : box.body + 4 + size])
        kind_at = box.body + 4 + size + 2
        if data[kind_at : kind_at + 4] == b"Exif":
            yield _Item(number, "exif")
        elif data[kind_at : kind_at + 4] == b"mime" and b"\0application/rdf+xml" in data[kind_at : box.end][:256]:
            yield _Item(number, "xmp")


def _located(data: bytes, iloc: Box, wanted: dict[int, str], idat: Box | None) -> Iterator[tuple[_Item, bytes]]:
    """Yield the located items; the sizes of the table's integers are in its header."""
    version = (data[iloc.body : iloc.body + 1] or b"\xff")[0]
    if version > 2:
        return
    sizes = int.from_bytes(data[iloc.body + 4 : iloc.body + 6])
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    number_size = 4 if version == 2 else 2
    extent_size = index_size + offset_size + length_size

    def number(place: int, size: int) -> int:
        """Read an unsigned integer of some bytes, as far as the box reaches."""
        return int.from_bytes(data[place : min(place + size, iloc.end)])

    at = iloc.body + 6 + number_size
    for _ in range(min(number(iloc.body + 6, number_size), MAX_ITEMS)):
        if at >= iloc.end:
            return
        item = number(at, number_size)
        at += number_size
        method = number(at, 2) & 15 if version else 0
        at += 4 if version else 2
        base = number(at, base_size)
        extents = number(at + base_size, 2)
        at += base_size + 2
        if item in wanted and (method == 0 or (method == 1 and idat is not None)):
            origin, end = (idat.body, idat.end) if method == 1 and idat is not None else (0, len(data))
            spans = [
                (origin + base + number(place, offset_size), number(place + offset_size, length_size))
                for place in range(at + index_size, at + min(extents, MAX_EXTENTS) * extent_size, extent_size or 1)
            ]
            yield _Item(item, wanted[item]), _joined(data, spans, end)
        at += extents * extent_size


def _joined(data: bytes, spans: list[tuple[int, int]], end: int) -> bytes:
    """Join an item's extents up to the bound; a length of zero reaches to the end."""
    joined = b""
    for start, length in spans:
        stop = min(start + length if length else end, end, start + MAX_BLOCK_BYTES - len(joined))
        joined += data[start:stop]
    return joined
