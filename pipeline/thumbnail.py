"""Thumbnail: a small JPEG of an image's bytes, made in a process of its own that no image takes along when it dies."""

import base64
import io
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from pipeline.decode import Bounds, Fault, decode
from pipeline.isolation import server

SIDE, QUALITY = 320, 78
MOST_BYTES, MOST_PIXELS = 32 << 20, 50_000_000
CPU_SECONDS = 5
"""Of a core, for one image."""


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG of an image's first frame.

    Attributes:
        data: a data URL; empty where there is none.
        width: pixels.
        height: pixels.
        why: why there is none, in words; empty where there is one.
    """

    data: str = ""
    width: int = 0
    height: int = 0
    why: str = ""


def thumbnail(data: bytes) -> Thumbnail:
    """Make an image small, or say why it cannot be shown; whatever the bytes are, this process lives on.

    Args:
        data: the whole file.
    """
    outcome = server(__name__).call(small, data)
    if outcome.died:
        return Thumbnail(why=f"not shown: its decoder ended, or took more than {CPU_SECONDS} s of a core")
    made: Thumbnail = outcome.results[0]
    return made


def small(data: bytes) -> Iterator[Thumbnail]:
    """Make an image small in this process; one result.

    Args:
        data: the whole file.
    """
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + CPU_SECONDS, hard))
    picture = decode(data, Bounds(MOST_BYTES, MOST_PIXELS, min_side=1))
    if isinstance(picture, Fault):
        yield Thumbnail(why=f"not shown: {picture.detail}")
        return
    image = Image.fromarray(picture.pixels_3HW.transpose(1, 2, 0))
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    yield Thumbnail(f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", *image.size)
