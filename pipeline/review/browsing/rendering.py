"""Rendering: re-encodes images for display; runs in a child process.

All output is encoded here: a browser never receives the original bytes of an untrusted file.
"""

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from mole.views.preprocess import Preprocess
from mole.views.view import Pixels, views
from pipeline.images.decode import Bounds, Fault, decode
from pipeline.images.thumbnail import encode_jpeg

BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000, min_side=1)
THUMBNAIL, LARGE = 320, 1600
"""The longest side in pixels."""
QUALITY = {THUMBNAIL: 78, LARGE: 88}
TILES = 4
"""Views per row in the picture of the views."""


def shrunk(data: bytes, side: int) -> Iterator[bytes | Fault]:
    """Render an image as a JPEG that fits a square; yields one result.

    Args:
        data: the whole file.
        side: of the square in pixels, one of `QUALITY`.
    """
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        yield picture
        return
    yield encode_jpeg(picture.pixels_3HW, side, QUALITY[side])[0]


def seen(data: bytes, spec: Preprocess) -> Iterator[bytes | Fault]:
    """Render an image's views side by side as PNG; yields one result.

    Args:
        data: the whole file.
        spec: the preprocessing.
    """
    [views_C3SS] = viewed(data, spec)
    yield views_C3SS if isinstance(views_C3SS, Fault) else png(tiled([pillow(view_3SS) for view_3SS in views_C3SS]))


def viewed(data: bytes, spec: Preprocess) -> Iterator[Pixels | Fault]:
    """Cut the views of an image; yields one result, uint8 (C, 3, S, S) or a fault.

    Args:
        data: the whole file.
        spec: the preprocessing.
    """
    picture = decode(data, BOUNDS, spec.region)
    yield picture if isinstance(picture, Fault) else views(picture.pixels_3HW, spec)


def tiled(pictures: Sequence[Image.Image]) -> Image.Image:
    """Tile pictures of one size, `TILES` per row."""
    width, height = pictures[0].size
    across = min(TILES, len(pictures))
    sheet = Image.new(pictures[0].mode, (across * width, math.ceil(len(pictures) / across) * height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % across * width, number // across * height))
    return sheet


def pillow(pixels_3HW: Pixels) -> Image.Image:
    """Convert pixels, uint8 RGB (3, H, W), to a Pillow image."""
    return Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))


def png(image: Image.Image) -> bytes:
    """Encode an image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
