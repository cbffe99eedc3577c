"""Orientation: reads the EXIF orientation of an image from its EXIF block or XMP packet."""

import re
from typing import Any

from pipeline.images.formats.layout import RefusalError
from pipeline.images.formats.tiff import directories

TAG = 0x0112
XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation(info: dict[Any, Any]) -> int:
    """Read the orientation.

    Args:
        info: Pillow's `Image.info`; `exif` and `xmp` are used.

    Returns:
        1 to 8 as in EXIF, 1 if unknown.
    """
    exif, packet = info.get("exif"), info.get("xmp")
    turn = _exif_orientation(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) else None
    if turn is None and isinstance(packet, bytes) and (found := XMP.search(packet)):
        turn = int(found[1])
    return turn if turn is not None and 1 <= turn <= 8 else 1


def _exif_orientation(exif: bytes) -> int | None:
    try:
        first = next(directories(exif), None)
    except RefusalError:
        return None
    return None if first is None else first.values.get(TAG, (None,))[0]
