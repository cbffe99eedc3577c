"""A JPEG's rectangle, decoded without the rest of it, where the C beside this file was built.

It is built with the package (`make setup`) where a compiler and libjpeg-turbo's headers are; elsewhere whole images are
decoded, to the same pixels, at a half to a third of the speed.
"""

import ctypes
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from mole.views.preprocess import Window

END = b"\xff\xd9"
"""How a whole JPEG ends. What lies below the rectangle is never read, so only this shows a file that is cut there."""


def _built() -> ctypes.CDLL | None:
    """Load what was built, None if nothing was or where its libjpeg is missing.

    It stands outside the package, where a job's own copy of the package (`--working-dir`) finds it as well.
    """
    found = find_spec("mole_cropped")
    if found is None or found.origin is None:
        return None
    try:
        return ctypes.CDLL(found.origin)
    except OSError:
        return None


_LIBRARY = _built()
BUILT = _LIBRARY is not None
"""Whether rectangles can be decoded here."""
ADVICE = (
    "whole JPEGs are decoded where this model sees their middle; for two to eight times the speed: "
    "apt-get install gcc libc6-dev libjpeg-dev, then make clean setup"
)


def decode_window(data: bytes, size: tuple[int, int], window: Window) -> NDArray[np.uint8] | None:
    """Decode a rectangle of a JPEG whose colours are YCbCr, RGB or grey.

    Args:
        data: the whole file.
        size: height and width of the image as it is stored.
        window: what is wanted, in the image as it is stored.

    Returns:
        uint8 (3, H, W), RGB, to the bit what a decoding of the whole has there; None if that is what must be done:
        nothing is built, the file does not end as it should, lacks progressive scans, or libjpeg complains.
    """
    if _LIBRARY is None or not data.endswith(END):
        return None
    pixels_3HW = np.empty((3, window.height, window.width), np.uint8)
    whole = [ctypes.c_uint(side) for side in (size[1], size[0])]
    place = [ctypes.c_uint(side) for side in (window.left, window.top, window.width, window.height)]
    failed = _LIBRARY.mole_cropped(
        data, ctypes.c_ulong(len(data)), *whole, *place, pixels_3HW.ctypes.data_as(ctypes.c_void_p)
    )
    return None if failed else pixels_3HW
