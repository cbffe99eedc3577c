"""GIF: extracts the first image, without the comments before and the animation after it.

Source: CompuServe, Graphics Interchange Format 89a.
"""

import struct
from collections.abc import Iterator

from pipeline.images.formats.layout import Layout, too_large, truncated

MAX_BLOCKS = 1_000_000
"""Maximum number of blocks and sub-blocks before the first image."""
CONTROL, IMAGE, EXTENSION = 0xF9, 0x2C, 0x21
CONTROL_FLAGS = 0b11100011
"""A graphic control without its disposal method, for which Pillow would allocate another frame."""


def inspect(data: bytes) -> Layout:
    """Inspect a GIF up to its first image.

    Args:
        data: the whole file.

    Raises:
        RefusalError: there is no image, or too much before it.
    """
    if len(data) < 13:
        raise truncated(f"no complete header in {len(data):,} bytes")
    wide, high, flags = struct.unpack_from("<HHB", data, 6)
    head = at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    control = b""
    parts = iter(range(MAX_BLOCKS))
    for _ in parts:
        if at + 10 > len(data) or data[at] not in (IMAGE, EXTENSION):
            at += 1
            if at >= len(data) or data[at - 1] == 0x3B:
                raise truncated(f"no image in {len(data):,} bytes")
        elif data[at] == IMAGE:
            left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
            size = (max(wide, left + across), max(high, top + down))
            return Layout(b"".join([data[:head], control, memoryview(data)[at:]]), size)
        else:
            if data[at + 1] == CONTROL and data[at + 2] >= 4:
                body = data[at + 3 : at + 7]
                control = bytes([EXTENSION, CONTROL, 4, body[0] & CONTROL_FLAGS]) + body[1:] + b"\0"
            at = _behind(data, at + 2, parts)
    raise too_large(f"more than {MAX_BLOCKS:,} blocks before the first image")


def _behind(data: bytes, at: int, parts: Iterator[int]) -> int:
    """Return the end of a sequence of sub-blocks, or the position where the step limit is reached."""
    for _ in parts:
        if at >= len(data) or not data[at]:
            return at + 1
        at += 1 + data[at]
    return at
