"""IPTC: parses IPTC-IIM data sets and the Photoshop resources that contain them."""

from collections.abc import Iterator

from pipeline.images.metadata.block import EXIF_MARK, MAX_BLOCK_BYTES, PHOTOSHOP_MARK, Block, xmp_block
from pipeline.images.metadata.text import decode_text

MAX_RESOURCES = 1_000
MAX_DATASETS = 1_000
MAX_SWAPPED_BYTES = 1 << 16

RESOURCES = {0x0404: "iptc", 0x0422: "exif", 0x0424: "xmp"}
"""Ids of the Photoshop resources with metadata."""


def resources(data: bytes) -> Iterator[Block]:
    """Yield the metadata of Photoshop resources; other bytes are taken as data sets themselves.

    Args:
        data: the content of a JPEG's APP13, a TIFF field or a PNG's raw profile; a damaged one gives its valid part.
    """
    data = data.removeprefix(PHOTOSHOP_MARK)
    if not data.startswith(b"8BIM"):
        yield from (Block("iptc", "", found) for found in (_dataset_bytes(data),) if found)
        return
    at = 0
    for _ in range(MAX_RESOURCES):
        if not data.startswith(b"8BIM", at):
            return
        kind = RESOURCES.get(int.from_bytes(data[at + 4 : at + 6]))
        start = at + 6 + (data[at + 6 : at + 7] or b"\0")[0] // 2 * 2 + 2  # the Pascal string is padded
        length = int.from_bytes(data[start : start + 4])
        if kind is not None and 0 < length <= MAX_BLOCK_BYTES:
            body = data[start + 4 : start + 4 + length]
            yield xmp_block(body) if kind == "xmp" else Block(kind, "", body.removeprefix(EXIF_MARK))
        at = start + 4 + length + length % 2


def _dataset_bytes(data: bytes) -> bytes:
    """Return data sets, which a TIFF may store as four-byte integers in the other byte order."""
    if data[:1] == b"\x1c":
        return data
    if data[3:4] != b"\x1c":
        return b""
    return b"".join(data[at : at + 4][::-1] for at in range(0, min(len(data), MAX_SWAPPED_BYTES), 4))


def datasets(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the numbers and texts of record 2 (application record), in order.

    Args:
        data: IIM data sets; a damaged one ends them.
    """
    at = 0
    for _ in range(MAX_DATASETS):
        if data[at : at + 1] != b"\x1c" or at + 5 > len(data):
            return
        record, number, length = data[at + 1], data[at + 2], int.from_bytes(data[at + 3 : at + 5])
        at += 5
        if length & 0x8000:  # the length of an extended data set's length
            wide = length & 0x7FFF
            length = int.from_bytes(data[at : at + min(wide, 8)])
            at += wide
        if record == 2:
            yield number, decode_text(data[at : at + length])
        at += length
