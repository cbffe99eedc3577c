"""Iptc: the data sets of IPTC-IIM, and the Photoshop resources among which they lie."""

from collections.abc import Iterator

from pipeline.images.metadata.block import EXIF_MARK, MOST_BLOCK_BYTES, PHOTOSHOP_MARK, Block, packet
from pipeline.images.metadata.text import unmarked

MOST_RESOURCES = 1_000
MOST_DATASETS = 1_000
MOST_TURNED = 1 << 16

RESOURCES = {0x0404: "iptc", 0x0422: "exif", 0x0424: "xmp"}
"""Numbers of the Photoshop resources that are metadata."""


def resources(data: bytes) -> Iterator[Block]:
    """Cut metadata out of Photoshop's resources; bytes that are none of those are taken for data sets themselves.

    Args:
        data: what a JPEG's APP13, a TIFF's field or a PNG's raw profile holds; a broken one gives what is sound.
    """
    data = data.removeprefix(PHOTOSHOP_MARK)
    if not data.startswith(b"8BIM"):
        yield from (Block("iptc", "", found) for found in (_sets(data),) if found)
        return
    at = 0
    for _ in range(MOST_RESOURCES):
        if not data.startswith(b"8BIM", at):
            return
        kind = RESOURCES.get(int.from_bytes(data[at + 4 : at + 6]))
        start = at + 6 + (data[at + 6 : at + 7] or b"\0")[0] // 2 * 2 + 2  # the name, with its length, is padded
        length = int.from_bytes(data[start : start + 4])
        if kind is not None and 0 < length <= MOST_BLOCK_BYTES:
            body = data[start + 4 : start + 4 + length]
            yield packet(body) if kind == "xmp" else Block(kind, "", body.removeprefix(EXIF_MARK))
        at = start + 4 + length + length % 2


def _sets(data: bytes) -> bytes:
    """Find data sets, which a TIFF may hold as numbers of four bytes in the other order."""
    if data[:1] == b"\x1c":
        return data
    if data[3:4] != b"\x1c":
        return b""
    return b"".join(data[at : at + 4][::-1] for at in range(0, min(len(data), MOST_TURNED), 4))


def datasets(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the numbers and texts of the second record (what the picture is), in order.

    Args:
        data: IIM data sets; a broken one ends them.
    """
    at = 0
    for _ in range(MOST_DATASETS):
        if data[at : at + 1] != b"\x1c" or at + 5 > len(data):
            return
        record, number, length = data[at + 1], data[at + 2], int.from_bytes(data[at + 3 : at + 5])
        at += 5
        if length & 0x8000:  # the length of an extended data set's length
            wide = length & 0x7FFF
            length = int.from_bytes(data[at : at + min(wide, 8)])
            at += wide
        if record == 2:
            yield number, unmarked(data[at : at + length])
        at += length
