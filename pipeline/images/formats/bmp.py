"""BMP: inspects the header, and bounds the cost of run-length decoding.

Source: Microsoft, "Bitmap Header Types" and "Bitmap Compression".
"""

import struct

from pipeline.images.formats.layout import Layout, too_large, truncated, unsupported

MAX_RUN_LENGTH_BYTES = 4 << 20
MAX_RUN_LENGTH_PIXELS = 1 << 23
"""Bound of a run-length encoded bitmap, which Pillow decodes in Python, pair by pair."""
HEADERS = (12, 40, 52, 56, 64, 108, 124)
BITS = (1, 4, 8, 16, 24, 32)
RAW, RLE8, RLE4, FIELDS = range(4)


def inspect(data: bytes) -> Layout:
    """Inspect a bitmap.

    Args:
        data: the whole file.

    Raises:
        RefusalError: it ends in its header, is of an unsupported kind, or exceeds a bound.
    """
    (header,) = struct.unpack_from("<I", data.ljust(18, b"\0"), 14)
    if len(data) < 54 and header not in (0, 12):
        raise truncated(f"no complete header in {len(data):,} bytes")
    if header not in HEADERS:
        raise unsupported(f"bitmap with a header of {header:,} bytes")
    if len(data) < 26:
        raise truncated(f"no complete header in {len(data):,} bytes")
    if header == 12:
        wide, high, _, bits = struct.unpack_from("<HHHH", data, 18)
        packing = RAW
    else:
        wide, high, _, bits, packing = struct.unpack_from("<IiHHI", data, 18)
        high = abs(high)
    if packing > FIELDS or bits not in BITS:
        raise unsupported(f"bitmap of {bits} bits a pixel in compression {packing}")
    if packing in (RLE8, RLE4) and (wide * high > MAX_RUN_LENGTH_PIXELS or len(data) > MAX_RUN_LENGTH_BYTES):
        raise too_large(
            f"run-length encoded, {wide:,} x {high:,} pixels in {len(data):,} bytes, over the bounds of "
            f"{MAX_RUN_LENGTH_PIXELS:,} pixels and {MAX_RUN_LENGTH_BYTES:,} bytes",
            (wide, high) if wide > 0 else None,
        )
    return Layout(data, (wide, high))
