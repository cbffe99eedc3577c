"""Rendering: an image's bytes become small files that a browser shows safely; all of it runs in a child process.

Whatever the bytes are, what leaves here was encoded here: a browser never sees a stranger's file.
"""

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from mole.views.preprocess import Preprocess
from mole.views.view import Pixels, views
from pipeline.images.decode import Bounds, Fault, decode
from pipeline.images.thumbnail import jpeg

BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000, min_side=1)
THUMBNAIL, LARGE = 320, 1600
"""The longest side of each, in pixels."""
QUALITY = {THUMBNAIL: 78, LARGE: 88}
TILES = 4
"""Views side by side in the picture of what the model saw."""


def shrunk(data: bytes, side: int) -> Iterator[bytes | Fault]:
    """Make a JPEG of an image that fits a square; one result.

    Args:
        data: the whole file.
        side: of the square, pixels, one of `QUALITY`.
    """
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        yield picture
        return
    yield jpeg(picture.pixels_3HW, side, QUALITY[side])[0]


def seen(data: bytes, spec: Preprocess) -> Iterator[bytes | Fault]:
    """Make a PNG of what a model sees of an image: its views side by side; one result.

    Args:
        data: the whole file.
        spec: which views.
    """
    [views_C3SS] = viewed(data, spec)
    yield views_C3SS if isinstance(views_C3SS, Fault) else png(tiled([pillow(view_3SS) for view_3SS in views_C3SS]))


def viewed(data: bytes, spec: Preprocess) -> Iterator[Pixels | Fault]:
    """Cut the views of an image; uint8 (C, 3, S, S), or why there are none; one result.

    Args:
        data: the whole file.
        spec: which views.
    """
    picture = decode(data, BOUNDS, spec.window)
    yield picture if isinstance(picture, Fault) else views(picture.pixels_3HW, spec)


def tiled(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay pictures of one size side by side, `TILES` in a row."""
    width, height = pictures[0].size
    across = min(TILES, len(pictures))
    sheet = Image.new(pictures[0].mode, (across * width, math.ceil(len(pictures) / across) * height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % across * width, number // across * height))
    return sheet


def pillow(pixels_3HW: Pixels) -> Image.Image:
    """See pixels as Pillow does; uint8, RGB."""
    return Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))


def png(image: Image.Image) -> bytes:
    """Encode a picture without loss."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
