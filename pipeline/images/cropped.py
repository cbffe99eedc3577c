"""Cropped decoding: decodes a rectangle of a JPEG, or its small copy, without holding the rest, by a C extension.

It is built with the package (`make setup`) if a compiler and libjpeg-turbo's headers are installed; otherwise whole
images are decoded and resized, to the same pixels, at a half to a third of the speed.
"""

import ctypes
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from mole.views.preprocess import Resize, Window, middle

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
    "whole JPEGs are decoded although this model uses a part or a small copy of them; for up to eight times the speed: "
    "apt-get install gcc libc6-dev libjpeg-dev, then make clean setup"
)


Turn = tuple[bool, tuple[int, ...]]
"""How a stored image becomes upright: whether its sides are swapped, then which axes of (3, H, W) are flipped."""


class _Axis(ctypes.Structure):
    """One direction of a resize, as pipeline/images/resized.c has it."""

    _fields_ = [(name, ctypes.c_uint) for name in ("full", "scaled", "first", "count", "mirrored", "bits")]


PILLOW_BITS = 22
"""Precision of Pillow's weights; torch chooses its own, of 16 bits at most, which is 0 in the extension."""


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


def decode_resized(data: bytes, size: tuple[int, int], resize: Resize, turn: Turn) -> NDArray[np.uint8] | None:
    """Decode a YCbCr, RGB or greyscale JPEG row by row and resize it.

    Args:
        data: the whole file.
        size: height and width of the stored image.
        resize: of the upright image.
        turn: how the stored image becomes upright.

    Returns:
        uint8 (3, S, S), RGB, not turned; bit-identical to resizing the whole; None where `decode_window` has none.
    """
    if not data.endswith(END_MARKER):
        return None
    return _resized(data, len(data), 0, size, resize, turn)


def resize_pixels(pixels_HW3: NDArray[np.uint8], resize: Resize, turn: Turn) -> NDArray[np.uint8] | None:
    """Resize decoded pixels, uint8 (H, W, 3) as they are stored; see `decode_resized`. None without the extension."""
    if pixels_HW3.strides[1:] != (3, 1) or pixels_HW3.strides[0] < 0:
        return None
    pixels = pixels_HW3.ctypes.data_as(ctypes.c_void_p)
    return _resized(pixels, 0, pixels_HW3.strides[0], pixels_HW3.shape[:2], resize, turn)


def _resized(
    source: bytes | ctypes.c_void_p, length: int, stride: int, size: tuple[int, ...], resize: Resize, turn: Turn
) -> NDArray[np.uint8] | None:
    """Call the extension: an axis of the upright image may be the other one as stored, and run backwards."""
    if _LIBRARY is None:
        return None
    swapped, flipped = turn
    height, width = size[::-1] if swapped else size
    pillow_first_down = height - resize.height > max(0, 2 * (width - resize.width))
    bits = 0 if resize.by_torch else PILLOW_BITS
    across, down = (
        _Axis(full, scaled, middle(scaled, resize.size), resize.size, axis in flipped, bits)
        for full, scaled, axis in ((width, resize.width, 2), (height, resize.height, 1))
    )
    axes = (_Axis * 2)(*((down, across) if swapped else (across, down)))
    is_down_first = (pillow_first_down and not resize.by_torch) != swapped
    view_3SS = np.empty((3, resize.size, resize.size), np.uint8)
    failed = _LIBRARY.mole_resized(
        source,
        ctypes.c_ulong(length),
        ctypes.c_ulong(stride),
        axes,
        is_down_first,
        view_3SS.ctypes.data_as(ctypes.c_void_p),
    )
    return None if failed else view_3SS
