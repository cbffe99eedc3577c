"""JPEG 2000: inspects components, tiles and code blocks, whose number determines the cost of decoding.

Source: ITU-T T.800 annexes A and I.
"""

import math
import struct
from collections.abc import Iterator

from pipeline.images.formats.layout import Layout, too_large, truncated, unsupported

MAX_BOXES = 1_000
MAX_MARKERS = 1_000
MAX_TILES = 8_192
MAX_BLOCKS = 400_000
"""Maximum number of code blocks and precincts; OpenJPEG allocates some 300 bytes for each."""
MAX_PACKETS = 1_000_000
MAX_PIXELS = 25_000_000
MAX_BYTES = 16 << 20
"""OpenJPEG decodes 3 to 15 million pixels, and some 6 MB, per second."""
SIZ, COD, COC, QCD, SOT, SOD = 0xFF51, 0xFF52, 0xFF53, 0xFF5C, 0xFF90, 0xFF93


def inspect(data: bytes) -> Layout:
    """Inspect a JPEG 2000 file.

    Args:
        data: the whole file.

    Raises:
        RefusalError: it ends in its header, has unsupported components, or exceeds a bound.
    """
    if len(data) > MAX_BYTES:
        raise too_large(f"{len(data):,} bytes, over the bound of {MAX_BYTES:,} for JPEG 2000")
    start = _codestream(data)
    siz = data[start + 4 : start + 42]
    if len(siz) < 38 or int.from_bytes(data[start + 2 : start + 4]) != SIZ:
        raise truncated(f"no complete header in {len(data):,} bytes")
    _, _, right, low, left, top, across, down, tile_left, tile_top, parts = struct.unpack(">HHIIIIIIIIH", siz)
    wide, high = right - left, low - top
    if parts not in (1, 2, 3, 4):
        raise unsupported(f"JPEG 2000 of {parts} components")
    if wide * high > MAX_PIXELS:
        raise too_large(f"{wide:,} x {high:,} pixels, over the bound of {MAX_PIXELS:,} for JPEG 2000")
    if min(wide, high, across, down) < 1:
        raise truncated(f"no pixels in a header of {wide} x {high} in tiles of {across} x {down}")
    tiles = math.ceil((right - tile_left) / across) * math.ceil((low - tile_top) / down)
    if tiles > MAX_TILES:
        raise too_large(f"{tiles:,} tiles, over the bound of {MAX_TILES:,}")
    tile = (min(across, wide), min(down, high))
    for style in _styles(data, start + 4 + struct.unpack_from(">H", siz)[0]):
        _check_style(style, tile, tiles * parts)
    # OpenJPEG decodes to four bytes per sample, a tile at a time.
    return Layout(data, (wide, high), bytes_per_pixel=8, memory=tile[0] * tile[1] * (4 * parts + 4))


def _codestream(data: bytes) -> int:
    """Return the start of the codestream in a JP2."""
    if data.startswith(b"\xff\x4f"):
        return 0
    at = 0
    for _ in range(MAX_BOXES):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        length = int.from_bytes(data[at + 8 : at + 16]) if length == 1 else length
        at += length
        if length < 8 or at + 8 > len(data):
            raise truncated(f"no codestream in {len(data):,} bytes")
    raise too_large(f"more than {MAX_BOXES:,} boxes before the codestream")


def _styles(data: bytes, at: int) -> Iterator[bytes]:
    """Yield the coding styles of the main header and of every tile-part: the number of layers, then the levels on."""
    layers = b"\0\1"
    ends = MAX_MARKERS + 3 * MAX_TILES
    part = 0
    for _ in range(ends):
        if at + 4 > len(data):
            return
        marker, length = struct.unpack_from(">HH", data, at)
        body = data[at + 4 : at + 2 + length]
        if marker == SOD:
            if part == 0:
                return
            at, part = part, 0
            continue
        if marker == SOT and len(body) >= 8:
            size = int.from_bytes(body[2:6])
            part = at + size if size >= 14 else 0
        elif marker == COD and len(body) >= 10:
            layers = body[2:4]
            yield layers + body[:1] + body[5:]
        elif marker == COC and len(body) >= 7:
            yield layers + body[1:2] + body[2:]
        elif not 0xFF30 <= marker <= 0xFFFF or length < 2:
            return
        at += 2 + length
    raise too_large(f"more than {ends:,} markers")


def _check_style(style: bytes, tile: tuple[int, int], planes: int) -> None:
    """Check the number of code blocks and packets of all tiles for a coding style."""
    layers, scheme, levels, wide, high = struct.unpack_from(">HBBBB", style)
    sizes = style[8:]  # after the code block style and the transformation
    blocks = packets = 0
    for level in range(min(levels, 32) + 1):
        precinct = sizes[levels - level] if scheme & 1 and levels - level < len(sizes) else 0xFF
        across, down = (math.ceil(side / (1 << level)) for side in tile)
        precincts = math.ceil(across / (1 << (precinct & 15))) * math.ceil(down / (1 << (precinct >> 4)))
        block_wide, block_high = min(wide + 2, precinct & 15), min(high + 2, precinct >> 4)
        blocks += precincts + math.ceil(across / (1 << block_wide)) * math.ceil(down / (1 << block_high))
        packets += precincts * layers
    if blocks * planes > MAX_BLOCKS:
        raise too_large(f"{blocks * planes:,} code blocks and precincts, over the bound of {MAX_BLOCKS:,}")
    if packets * planes > MAX_PACKETS:
        raise too_large(f"{packets * planes:,} packets, over the bound of {MAX_PACKETS:,}")
