"""Image: whatever a user holds becomes an upright RGB picture, or the fault that keeps it from being one.

A file's bytes are decoded as a scan decodes them. What Pillow or an array holds is decoded already: it is turned
upright and brought to RGB in 8 bits by the scan's own code.
"""

from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mole.errors import SettingsError
from mole.preprocess import Window
from pipeline import storage
from pipeline.decode import SELF_TURNING, Bounds, Fault, Look, Picture, decode, everything, upright
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.formats.colour import rgb
from pipeline.formats.layout import Layout, RefusalError
from pipeline.formats.orientation import orientation
from pipeline.records import Status

BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000, min_side=16)
"""What a scan refuses where its flags say nothing else."""

Given = Image.Image | NDArray[Any] | bytes | str | PathLike[str]
"""An image: Pillow's, an array (H, W), (H, W, 3) or (H, W, 4), a file's bytes, or the path or URL of a file."""


def opened(image: Given | None, look: Look = everything) -> Picture | Fault:
    """Decode an image.

    Args:
        image: of any kind; None is one that is missing.
        look: which part of a file's picture is wanted; pictures that are decoded already are given whole.

    Returns:
        The picture, or the fault; no image raises.
    """
    if image is None:
        return Fault(Status.EMPTY, "no image")
    if isinstance(image, Image.Image):
        return _of_pillow(image, look)
    if isinstance(image, np.ndarray):
        return _of_array(image, look)
    if isinstance(image, str | PathLike):
        return _of_file(fspath(image), look)
    return decode(bytes(image), BOUNDS, look)


def _of_file(place: str, look: Look) -> Picture | Fault:
    try:
        data = storage.read(place, most=BOUNDS.max_bytes + 1)
    except STORE_FAULTS as reason:
        return Fault(*fault_of(reason))
    except SettingsError as reason:
        return Fault(Status.MISSING, str(reason))
    return decode(data, BOUNDS, look)


def _of_array(image: NDArray[Any], look: Look) -> Picture | Fault:
    if image.ndim == 3 and len(image) == 1:  # as Ray gives a grey image among coloured ones
        image = image[0]
    try:
        if image.ndim in (2, 3):
            return _of_pillow(Image.fromarray(np.ascontiguousarray(image)), look)
    except (TypeError, ValueError):  # Pillow knows no picture of this kind
        pass
    kind = f"an array {image.shape} of {image.dtype}"
    return Fault(Status.UNSUPPORTED, f"{kind}; (H, W), (H, W, 3) or (H, W, 4) of uint8 is read")


def _of_pillow(image: Image.Image, look: Look) -> Picture | Fault:
    form = (image.format or "pixels").lower()
    if image.width * image.height > BOUNDS.max_pixels:
        told = f"{image.width:,} x {image.height:,} pixels, over the bound of {BOUNDS.max_pixels:,}"
        return Fault(Status.TOO_LARGE, told, form, *image.size)
    try:
        image.load()
        turn = 1 if image.format in SELF_TURNING else orientation(image.info)
        whole = Window(0, 0, image.height, image.width)
        pixels_3HW = upright(rgb(image, whole, Layout(b"")).transpose(2, 0, 1), turn)
    except RefusalError as reason:
        return Fault(reason.status, str(reason), form, *image.size)
    except (OSError, SyntaxError, ValueError) as reason:
        return Fault(Status.TRUNCATED, f"{type(reason).__name__}: {reason}", form, *image.size)
    height, width = pixels_3HW.shape[1:]
    if min(height, width) < BOUNDS.min_side:
        told = f"{width} x {height} pixels, a side under the bound of {BOUNDS.min_side}"
        return Fault(Status.TOO_SMALL, told, form, width, height)
    window = look(height, width)
    if window is not None:
        pixels_3HW = pixels_3HW[:, window.top : window.top + window.height, window.left : window.left + window.width]
    return Picture(pixels_3HW, form, width, height)
