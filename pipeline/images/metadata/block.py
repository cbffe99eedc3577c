"""Block: one piece of metadata as it was cut out of a file, and the bounds on what is cut.

The bounds hold for what is kept of a file, whatever its lengths and counts say; what lies beyond them is left unread.
"""

from typing import NamedTuple

MOST_STEPS = 100_000
"""Segments, chunks, boxes or sub-blocks that are walked in one file."""

MOST_BLOCKS = 1_000
"""Pieces of metadata that are looked into in one file."""

MOST_BLOCK_BYTES = 1 << 20
"""Of one EXIF or IPTC block; a larger one is not looked into."""

MOST_XMP_BYTES = 1 << 19
"""Of one XMP packet; a longer one is cut, and what stands before the cut is read."""

MOST_TEXT_BYTES = 1 << 18
"""Of one text, unpacked; a longer one is cut."""

MOST_FILE_BYTES = 1 << 20
"""Of all pieces of a file together, a TIFF and a C2PA manifest store not counted; what follows is left unread."""

MOST_PACKED = 32
"""Compressed texts that are unpacked in one file."""

MOST_STORE_BYTES = 4 << 20
"""Of a C2PA manifest store; a larger one is told as present and not read."""

EXIF_MARK = b"Exif\0\0"
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
PHOTOSHOP_MARK = b"Photoshop 3.0\0"


class Block(NamedTuple):
    """One piece of metadata.

    Attributes:
        kind: `exif` (a TIFF structure), `xmp` (a packet), `iptc` (IIM data sets), `text` or `c2pa` (a manifest store).
        name: the keyword of a text, empty for the others.
        data: the bytes; a text is UTF-8; empty for a manifest store that is damaged or larger than its bound.
    """

    kind: str
    name: str
    data: bytes


def packet(data: bytes) -> Block:
    """Keep an XMP packet, cut to its bound."""
    return Block("xmp", "", data[:MOST_XMP_BYTES])


def store(data: bytes) -> Block:
    """Keep a C2PA manifest store, or only that it is there."""
    return Block("c2pa", "", data if len(data) <= MOST_STORE_BYTES else b"")
