"""PNG: keeps the chunks that determine the pixels and removes all others before decoding.

Source: PNG (third edition), chapters 5 and 11. Damaged chunks are tolerated as in libpng.
"""

import struct
import zlib

from pipeline.images.formats.layout import Layout, too_large, truncated, unsupported

MAX_CHUNKS = 100_000
IEND_CHUNK = memoryview(b"\0\0\0\0IEND\xaeB`\x82")
TRANSPARENCY_BYTES = {0: (2,), 2: (6,), 3: range(1, 257)}
"""Maximum length of tRNS by colour type."""


def inspect(data: bytes) -> Layout:
    """Inspect a PNG, keeping header, palette, transparency, EXIF and pixels.

    Args:
        data: the whole file.

    Raises:
        RefusalError: it ends before its pixels, a required chunk is damaged, or there are too many chunks.
    """
    header = data[16:29]
    if data[12:16] == b"CgBI":
        raise unsupported("PNG in Apple's own variant (CgBI)")
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 33 or data[8:12] != b"\0\0\0\x0d":
        raise truncated(f"no readable header in {len(data):,} bytes")
    kept = _needed_chunks(data, header[9])
    wide, high = struct.unpack(">II", header[:8])
    return Layout(b"".join([data[:8], *kept]), (wide, high))


def _needed_chunks(data: bytes, colours: int) -> list[memoryview]:
    """Return the chunks that determine pixels and orientation; the last may be truncated."""
    view, at = memoryview(data), 8
    kept: list[memoryview] = []
    seen: set[bytes] = set()
    last = b""
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data) and b"IDAT" not in seen:
            raise truncated(f"no pixels in {len(data):,} bytes")
        if at + 8 > len(data):
            return kept
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + length
        if b"IDAT" in seen and (kind == b"IEND" or not kind.isalpha()):  # the pixels are complete
            return [*kept, IEND_CHUNK]
        needed = _is_needed(kind, length, colours, seen, last)
        if needed and (end > len(data) or _is_sound(view, at, length, kind)):
            kept.insert(1 if kind == b"eXIf" else len(kept), view[at:end])  # EXIF is moved before the pixels
            seen.add(kind)
        last, at = kind, end
    raise too_large(f"more than {MAX_CHUNKS:,} chunks")


def _is_needed(kind: bytes, length: int, colours: int, seen: set[bytes], last: bytes) -> bool:
    """Return whether a chunk is needed: the first of each kind, and the first contiguous sequence of IDAT."""
    match kind:
        case b"IHDR":
            if b"IHDR" in seen:
                raise truncated("a second header")
            return True
        case b"IDAT":
            if colours == 3 and b"PLTE" not in seen:
                raise truncated("pixels before their palette")
            return b"IDAT" not in seen or last == b"IDAT"
        case b"PLTE":
            return colours == 3 and not seen & {b"IDAT", b"PLTE"} and length in range(3, 769, 3)
        case b"tRNS":
            return not seen & {b"IDAT", b"tRNS"} and length in TRANSPARENCY_BYTES.get(colours, ())
        case b"eXIf":
            return b"eXIf" not in seen
    if not kind.isalpha() or kind == b"IEND":
        raise truncated(f"no pixels before a chunk called {kind!r}")
    return False


def _is_sound(view: memoryview, at: int, length: int, kind: bytes) -> bool:
    """Check a chunk's CRC: a wrong one is damage in a required chunk; another chunk is dropped."""
    stored = int.from_bytes(view[at + 8 + length : at + 12 + length])
    if zlib.crc32(view[at + 4 : at + 8 + length]) == stored:
        return True
    if kind.isupper():  # the critical bit
        raise truncated(f"the checksum of its {kind.decode()} at byte {at:,} is wrong")
    return False
