"""Cropped decoding: decodes a rectangle of a JPEG without the rest, by a C extension.

It is built with the package (`make setup`) if a compiler and libjpeg-turbo's headers are installed; otherwise whole
images are decoded, to the same pixels, at a half to a third of the speed.
"""

import ctypes
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from mole.views.preprocess import Window

END_MARKER = b"\xff\xd9"
"""The end marker of a complete JPEG. Data below the rectangle are not read, so only this detects truncation there."""


def _built() -> ctypes.CDLL | None:
    """Load the extension; None if it was not built or its libjpeg is missing.

    It is outside the package, where a job's copy of the package (`--working-dir`) finds it as well.
    """
    found = find_spec("mole_cropped")
    if found is None or found.origin is None:
        return None
    try:
        return ctypes.CDLL(found.origin)
    except OSError:
        return None


_LIBRARY = _built()
IS_BUILT = _LIBRARY is not None
"""Whether the extension is available."""
BUILD_ADVICE = (
    "whole JPEGs are decoded although this model uses only their centre; for two to eight times the speed: "
    "apt-get install gcc libc6-dev libjpeg-dev, then make clean setup"
)


def decode_window(data: bytes, size: tuple[int, int], window: Window) -> NDArray[np.uint8] | None:
    """Decode a rectangle of a YCbCr, RGB or greyscale JPEG.

    Args:
        data: the whole file.
        size: height and width of the stored image.
        window: the rectangle in the stored image.

    Returns:
        uint8 (3, H, W), RGB, bit-identical to decoding the whole; None if the whole must be decoded: without the
        extension, for a truncated file or missing progressive scans, or if libjpeg warns.
    """
    if _LIBRARY is None or not data.endswith(END_MARKER):
        return None
    pixels_3HW = np.empty((3, window.height, window.width), np.uint8)
    whole = [ctypes.c_uint(side) for side in (size[1], size[0])]
    place = [ctypes.c_uint(side) for side in (window.left, window.top, window.width, window.height)]
    failed = _LIBRARY.mole_cropped(
        data, ctypes.c_ulong(len(data)), *whole, *place, pixels_3HW.ctypes.data_as(ctypes.c_void_p)
    )
    return None if failed else pixels_3HW
