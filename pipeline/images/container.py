"""Container: extracts metadata blocks from image files without decoding pixels.

Every format is parsed by its own lengths and counts; none is trusted beyond the end of the file, and each block and
their total are bounded (`metadata.block`).
"""

import re
import zlib
from collections.abc import Callable, Iterator
from itertools import islice

from pipeline.images.metadata import boxes, tiff
from pipeline.images.metadata.block import (
    EXIF_MARK,
    MAX_BLOCK_BYTES,
    MAX_BLOCKS,
    MAX_COMPRESSED_TEXTS,
    MAX_FILE_BYTES,
    MAX_STEPS,
    MAX_STORE_BYTES,
    MAX_TEXT_BYTES,
    PHOTOSHOP_MARK,
    XMP_MARK,
    Block,
    c2pa_block,
    xmp_block,
)
from pipeline.images.metadata.iptc import resources
from pipeline.images.metadata.split_blocks import ExtendedXmp, JumbfParts

EXTENDED_XMP_MARK = b"http://ns.adobe.com/xmp/extension/\0"

PNG_XMP = "XML:com.adobe.xmp"
RAW_PROFILE = re.compile(rb"\s*[\w ]{0,32}\s+\d{1,10}\s+")
"""Header of a profile that ImageMagick wrote as text: name and length; the rest is hexadecimal."""

TIFF_XMP, TIFF_IPTC, TIFF_PHOTOSHOP, TIFF_C2PA = 0x02BC, 0x83BB, 0x8649, 0xCD41


def blocks(data: bytes, format_: str | None) -> Iterator[Block]:
    """Yield a file's metadata blocks, in file order.

    Args:
        data: the whole file; a damaged one gives the blocks before the damage.
        format_: as in `Picture.format`; None has no blocks.
    """
    left = MAX_FILE_BYTES
    signed = False
    walk = EXTRACTORS.get(str(format_))
    for block in islice(walk(data) if walk else (), MAX_BLOCKS):
        if block.kind == "c2pa":
            if not signed:
                yield block
            signed = True
        elif block.data is data:  # a TIFF, of which only single fields will be copied
            yield block
        else:
            left -= len(block.data)
            if left < 0:
                return
            yield block


def _jpeg(data: bytes) -> Iterator[Block]:
    """Yield the metadata of the segments up to the first scan."""
    main, more, photoshop, signed = b"", ExtendedXmp(), b"", JumbfParts()
    for kind, start, end in _segments(data):
        match kind:
            case 0xE1 if data.startswith(EXIF_MARK, start):
                yield Block("exif", "", data[start + len(EXIF_MARK) : end])
            case 0xE1 if data.startswith(XMP_MARK, start):
                main = main or data[start + len(XMP_MARK) : end]
                yield xmp_block(data[start + len(XMP_MARK) : end])
            case 0xE1 if data.startswith(EXTENDED_XMP_MARK, start):
                more.add(data[start + len(EXTENDED_XMP_MARK) : end])
            case 0xEB if data.startswith(b"JP", start):
                signed.add(data[start:end])
            case 0xED if data.startswith(PHOTOSHOP_MARK, start) and len(photoshop) < MAX_BLOCK_BYTES:
                photoshop += data[start + len(PHOTOSHOP_MARK) : end]
            case 0xFE:
                yield Block("text", "Comment", data[start:end])
    yield from resources(photoshop)
    yield from more.joined(main)
    yield from signed.joined()


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment's body, skipping fill and stray bytes."""
    at = 2
    for _ in range(MAX_STEPS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
        elif kind in (0x00, 0x01) or 0xD0 <= kind <= 0xD8:  # markers without a body
            at += 2
        elif kind in (0xD9, 0xDA):
            return
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
            yield kind, at + 4, end
            at = max(end, at + 4)


def _png(data: bytes) -> Iterator[Block]:
    """Yield the metadata of all chunks; texts may follow the pixels."""
    at, packed = 8, 0
    for _ in range(MAX_STEPS):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if at + 8 > len(data) or kind == b"IEND":
            return
        body = slice(at + 8, at + 8 + length)
        match kind:
            case b"caBX":
                yield c2pa_block(data[body] if length <= MAX_STORE_BYTES else b"")
            case b"eXIf" if length <= MAX_BLOCK_BYTES:
                yield Block("exif", "", data[body].removeprefix(EXIF_MARK))
            case b"tEXt" | b"zTXt" | b"iTXt" if length and packed < MAX_COMPRESSED_TEXTS:
                packed += kind != b"tEXt"
                yield from _png_text(kind, data[at + 8 : at + 8 + min(length, MAX_BLOCK_BYTES)])
            case b"comf":  # ComfyUI's own chunk, in animations
                name, _, text = data[at + 8 : at + 8 + min(length, MAX_TEXT_BYTES)].partition(b"\0")
                yield Block("text", name[:79].decode("latin-1"), text)
        at += 12 + length


def _png_text(kind: bytes, body: bytes) -> Iterator[Block]:
    keyword, _, rest = body.partition(b"\0")
    name = keyword[:79].decode("latin-1")
    raw = name.startswith("Raw profile type ")
    max_bytes = MAX_BLOCK_BYTES if raw or name == PNG_XMP else MAX_TEXT_BYTES
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        text = _inflate(rest, max_bytes) if packed else rest[:max_bytes]
    else:
        text = _inflate(rest[1:], max_bytes) if kind == b"zTXt" else rest[:max_bytes]
    if raw:
        yield from _raw_profile(name.rpartition(" ")[2].lower(), text)
    elif name == PNG_XMP:
        yield xmp_block(text)
    else:
        yield Block("text", name, text if kind == b"iTXt" else _latin(text))


def _latin(text: bytes) -> bytes:
    """Convert Latin-1 to UTF-8, unless it is valid UTF-8 already, as many writers use."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()
    return text


def _raw_profile(name: str, text: bytes) -> Iterator[Block]:
    """Yield the block of a profile that ImageMagick wrote in hexadecimal."""
    head = RAW_PROFILE.match(text[:128])
    digits = b"".join(text[head.end() :].split()) if head else b""
    try:
        body = bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
    except ValueError:
        return
    if body.startswith(XMP_MARK) or name == "xmp":
        yield xmp_block(body.removeprefix(XMP_MARK))
    elif body.startswith(EXIF_MARK) or name in ("exif", "app1"):
        yield Block("exif", "", body.removeprefix(EXIF_MARK))
    elif name in ("iptc", "8bim"):
        yield from resources(body)


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    """Decompress at most `max_bytes` bytes; empty for a corrupt stream."""
    try:
        return zlib.decompressobj().decompress(packed, max_bytes)
    except zlib.error:
        return b""


def _webp(data: bytes) -> Iterator[Block]:
    at = 12
    for _ in range(MAX_STEPS):
        if at + 8 > len(data):
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        body = slice(at + 8, at + 8 + length)
        match data[at : at + 4]:
            case b"C2PA":
                yield c2pa_block(data[body] if length <= MAX_STORE_BYTES else b"")
            case b"EXIF" if length <= MAX_BLOCK_BYTES:
                yield Block("exif", "", data[body].removeprefix(EXIF_MARK))
            case b"XMP ":
                yield xmp_block(data[body.start : body.start + min(length, MAX_BLOCK_BYTES)].removeprefix(XMP_MARK))
        at += 8 + length + length % 2


def _gif(data: bytes) -> Iterator[Block]:
    """Yield the metadata of the blocks; sub-blocks count towards the step limit."""
    steps = 5 * MAX_STEPS
    at = 13 + _colours(data[10:11])
    while steps > 0 and at < len(data) and data[at] in (0x21, 0x2C):
        extension = data[at] == 0x21
        start = at + 2 if extension else at + 11 + _colours(data[at + 9 : at + 10])
        end = start
        while end < len(data) and data[end] and steps > 0:
            end += data[end] + 1
            steps -= 1
        if extension:
            yield from _gif_extension(data, data[at + 1 : at + 2], start, min(end, len(data)))
        at, steps = end + 1, steps - 5


def _colours(packed: bytes) -> int:
    return 3 << (packed[0] & 7) + 1 if packed and packed[0] & 0x80 else 0


def _gif_extension(data: bytes, label: bytes, start: int, end: int) -> Iterator[Block]:
    if label == b"\xfe":
        yield Block("text", "Comment", _unblocked(data, start, end, MAX_TEXT_BYTES))
    elif label == b"\xff" and data.startswith(
        b"\x0bXMP DataXMP", start
    ):  # stored without sub-blocks, followed by a magic trailer
        yield xmp_block(data[start + 12 : min(end, start + MAX_BLOCK_BYTES)].partition(b"\x01\xff\xfe\xfd")[0])
    elif label == b"\xff" and data.startswith(b"\x0bC2PA_GIF", start):
        yield c2pa_block(_unblocked(data, start + 12, end, MAX_STORE_BYTES + 1))


def _unblocked(data: bytes, at: int, end: int, max_bytes: int) -> bytes:
    parts = []
    while at < end and max_bytes > 0:
        parts.append(data[at + 1 : at + 1 + data[at]])
        max_bytes -= data[at]
        at += data[at] + 1
    return b"".join(parts)


def _tiff(data: bytes) -> Iterator[Block]:
    """Yield a TIFF as EXIF, and the other kinds from its fields."""
    yield Block("exif", "", data)
    wanted = (TIFF_XMP, TIFF_IPTC, TIFF_PHOTOSHOP)
    values = tiff.fields(data, wanted, MAX_BLOCK_BYTES).values
    if TIFF_XMP in values:
        yield xmp_block(values[TIFF_XMP])
    for tag in (TIFF_IPTC, TIFF_PHOTOSHOP):
        yield from resources(values.get(tag, b""))
    signed = tiff.fields(data, (TIFF_C2PA,), MAX_STORE_BYTES + 1).values
    if TIFF_C2PA in signed:
        yield c2pa_block(signed[TIFF_C2PA])


EXTRACTORS: dict[str, Callable[[bytes], Iterator[Block]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "tiff": _tiff,
    **dict.fromkeys(("avif", "heic", "heif", "jp2", "jxl"), boxes.metadata),
}
