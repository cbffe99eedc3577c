"""Thumbnail: makes a small JPEG of an image in an isolated process, which a damaged image may crash."""

import base64
import io
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mole.views.view import Pixels
from pipeline.images.decode import Bounds, Fault, decode
from pipeline.runtime.isolation import fork_server

SIDE, QUALITY = 320, 78
MAX_BYTES, MAX_PIXELS = 32 << 20, 50_000_000
CPU_SECONDS = 5
"""CPU seconds per image."""


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG of an image's first frame.

    Attributes:
        data: a data URL; empty if there is none.
        width: in pixels.
        height: in pixels.
        why: why there is none, in words; empty if there is one.
    """

    data: str = ""
    width: int = 0
    height: int = 0
    why: str = ""


def thumbnail(data: bytes) -> Thumbnail:
    """Make a thumbnail, or return why there is none; this process survives any input.

    Args:
        data: the whole file.
    """
    outcome = fork_server(__name__).call(decode_thumbnail, data)
    if outcome.died:
        return Thumbnail(why=f"not shown: its decoder crashed, or took more than {CPU_SECONDS} CPU seconds")
    result: Thumbnail = outcome.results[0]
    return result


def decode_thumbnail(data: bytes) -> Iterator[Thumbnail]:
    """Make a thumbnail in this process; yields one result.

    Args:
        data: the whole file.
    """
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + CPU_SECONDS, hard))
    picture = decode(data, Bounds(MAX_BYTES, MAX_PIXELS, min_side=1))
    if isinstance(picture, Fault):
        yield Thumbnail(why=f"not shown: {picture.detail}")
        return
    yield Thumbnail(*jpeg_data_uri(picture.pixels_3HW))


def jpeg_data_uri(pixels_3HW: Pixels, side: int = SIDE, quality: int = QUALITY) -> tuple[str, int, int]:
    """Encode a JPEG that fits a square.

    Args:
        pixels_3HW: uint8, RGB.
        side: of the square in pixels; a smaller image is not enlarged.
        quality: of the JPEG.

    Returns:
        A data URL, and width and height in pixels.
    """
    data, (width, height) = encode_jpeg(pixels_3HW, side, quality)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", width, height


def encode_jpeg(pixels_3HW: Pixels, side: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    """Encode a JPEG as `jpeg_data_uri` does; return its bytes, and width and height."""
    image = Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue(), image.size
