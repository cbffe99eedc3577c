"""Orientation: which way up an image is, as its EXIF block or else its XMP packet says."""

import re
from typing import Any

from pipeline.images.formats.layout import RefusalError
from pipeline.images.formats.tiff import directories

TAG = 0x0112
XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation(info: dict[Any, Any]) -> int:
    """Read the orientation.

    Args:
        info: what Pillow found beside the pixels; `exif` and `xmp` are looked at.

    Returns:
        1 to 8 as EXIF counts them, 1 if nothing tells, or only a broken block.
    """
    exif, packet = info.get("exif"), info.get("xmp")
    turn = _told(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) else None
    if turn is None and isinstance(packet, bytes) and (found := XMP.search(packet)):
        turn = int(found[1])
    return turn if turn is not None and 1 <= turn <= 8 else 1


def _told(exif: bytes) -> int | None:
    try:
        first = next(directories(exif), None)
    except RefusalError:
        return None
    return None if first is None else first.values.get(TAG, (None,))[0]
