"""Container: where an image file keeps what it says about itself; blocks are cut out of it, nothing is decoded.

JPEG segments, PNG chunks and WebP chunks are walked by their lengths, a TIFF is its own EXIF, the others are searched
for marks. No length is believed beyond the file, and no block is taken beyond its bound.
"""

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

MOST_BLOCKS = 20_000
MOST_BLOCK_BYTES = 1 << 20
MOST_TEXT_BYTES = 1 << 18

EXIF_MARK = b"Exif\0\0"
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
XMP_ENDS = (b"<x:xmpmeta", b"</x:xmpmeta>")
PNG_XMP = "XML:com.adobe.xmp"


class Block(NamedTuple):
    """One piece of metadata.

    Attributes:
        kind: `exif` (a TIFF structure), `xmp` (a packet), `text` (a PNG's) or `c2pa` (a manifest store is here).
        name: the keyword of a PNG text, empty for the others.
        data: the bytes; a text is UTF-8; a manifest store's are left where they lie.
    """

    kind: str
    name: str
    data: bytes


def blocks(data: bytes, format_: str | None) -> Iterator[Block]:
    """Yield a file's metadata, in the order in which it lies there.

    Args:
        data: the whole file; broken ones give what comes before the break.
        format_: as `decode` names it; None has no blocks.
    """
    match format_:
        case "jpeg":
            return _jpeg(data)
        case "png":
            return _png(data)
        case "webp":
            return _webp(data)
        case "tiff":
            return chain([Block("exif", "", data)], _search(data))
        case "avif" | "heic" | "gif" | "jp2":
            return _search(data)
        case _:
            return iter(())


def _jpeg(data: bytes) -> Iterator[Block]:
    """Walk the segments up to the first scan."""
    at = 2
    for _ in range(MOST_BLOCKS):
        if data[at : at + 1] != b"\xff" or at + 4 > len(data) or data[at + 1] in (0xD9, 0xDA):
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] == 0xE1:
            if data.startswith(EXIF_MARK, at + 4):
                yield Block("exif", "", data[at + 4 + len(EXIF_MARK) : end])
            elif data.startswith(XMP_MARK, at + 4):
                yield Block("xmp", "", data[at + 4 + len(XMP_MARK) : end])
        elif data[at + 1] == 0xEB and data.startswith(b"JP", at + 4):
            yield Block("c2pa", "", b"")
        at = end


def _png(data: bytes) -> Iterator[Block]:
    """Walk all chunks: a text may follow the pixels."""
    at = 8
    for _ in range(MOST_BLOCKS):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if at + 8 > len(data) or kind == b"IEND":
            return
        body = data[at + 8 : at + 8 + length] if kind != b"IDAT" and length <= MOST_BLOCK_BYTES else b""
        match kind:
            case b"eXIf":
                yield Block("exif", "", body)
            case b"caBX":
                yield Block("c2pa", "", b"")
            case b"tEXt" | b"zTXt" | b"iTXt" if body:
                yield _png_text(kind, body)
        at += 12 + length


def _png_text(kind: bytes, body: bytes) -> Block:
    keyword, _, rest = body.partition(b"\0")
    name = keyword.decode("latin-1")
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        text = _inflate(rest) if packed else rest[:MOST_TEXT_BYTES]
    else:
        latin = _inflate(rest[1:]) if kind == b"zTXt" else rest[:MOST_TEXT_BYTES]
        text = latin.decode("latin-1").encode()
    return Block("xmp", "", text) if name == PNG_XMP else Block("text", name, text)


def _inflate(packed: bytes) -> bytes:
    """Unpack at most MOST_TEXT_BYTES; a broken stream is no text."""
    try:
        return zlib.decompressobj().decompress(packed, MOST_TEXT_BYTES)
    except zlib.error:
        return b""


def _webp(data: bytes) -> Iterator[Block]:
    at = 12
    kinds = {b"EXIF": "exif", b"XMP ": "xmp", b"C2PA": "c2pa"}
    for _ in range(MOST_BLOCKS):
        if at + 8 > len(data):
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        kind = kinds.get(data[at : at + 4])
        if kind == "c2pa":
            yield Block(kind, "", b"")
        elif kind is not None and length <= MOST_BLOCK_BYTES:
            yield Block(kind, "", data[at + 8 : at + 8 + length].removeprefix(EXIF_MARK))
        at += 8 + length + length % 2


def _search(data: bytes) -> Iterator[Block]:
    """Find EXIF, XMP and a manifest store by their marks, in containers too loose to walk in a few lines."""
    exif = max(data.find(EXIF_MARK + b"MM\0*"), data.find(EXIF_MARK + b"II*\0"))
    if exif >= 0:
        yield Block("exif", "", data[exif + len(EXIF_MARK) :][:MOST_BLOCK_BYTES])
    start = data.find(XMP_ENDS[0])
    end = data.find(XMP_ENDS[1], start, start + MOST_TEXT_BYTES) if start >= 0 else -1
    if end >= 0:
        yield Block("xmp", "", data[start:end])
    if b"c2pa" in data:
        yield Block("c2pa", "", b"")
