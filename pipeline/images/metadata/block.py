"""Block: a metadata block extracted from a file, and the bounds of the extraction.

The bounds limit what is extracted from a file, whatever its lengths and counts say; the rest is not read.
"""

from typing import NamedTuple

MAX_STEPS = 100_000
"""Maximum number of segments, chunks, boxes or sub-blocks visited in a file."""

MAX_BLOCKS = 1_000
"""Maximum number of metadata blocks of a file."""

MAX_BLOCK_BYTES = 1 << 20
"""Maximum size of an EXIF or IPTC block; a larger one is skipped."""

MAX_XMP_BYTES = 1 << 19
"""Maximum size of an XMP packet; a longer one is truncated."""

MAX_TEXT_BYTES = 1 << 18
"""Maximum size of an uncompressed text; a longer one is truncated."""

MAX_FILE_BYTES = 1 << 20
"""Maximum total size of a file's blocks, without a TIFF and a C2PA manifest store; the rest is not read."""

MAX_COMPRESSED_TEXTS = 32
"""Maximum number of compressed texts of a file."""

MAX_STORE_BYTES = 4 << 20
"""Maximum size of a C2PA manifest store; a larger one is reported as present and not read."""

EXIF_MARK = b"Exif\0\0"
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
PHOTOSHOP_MARK = b"Photoshop 3.0\0"


class Block(NamedTuple):
    """A metadata block.

    Attributes:
        kind: `exif` (a TIFF structure), `xmp` (a packet), `iptc` (IIM data sets), `text` or `c2pa` (a manifest store).
        name: the keyword of a text, empty for other kinds.
        data: the bytes; a text is UTF-8; empty for a manifest store that is damaged or larger than its bound.
    """

    kind: str
    name: str
    data: bytes


def xmp_block(data: bytes) -> Block:
    """Make the block of an XMP packet, truncated to its bound."""
    return Block("xmp", "", data[:MAX_XMP_BYTES])


def c2pa_block(data: bytes) -> Block:
    """Make the block of a C2PA manifest store, empty if it is too large."""
    return Block("c2pa", "", data if len(data) <= MAX_STORE_BYTES else b"")
