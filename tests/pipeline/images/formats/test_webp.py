"""Laws of WebP: the canvas is bounded before room is made for it."""

import struct

import pytest

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats import webp as module
from pipeline.images.formats.layout import MAX_MEMORY, RefusalError
from pipeline.images.formats.webp import inspect
from pipeline.records import Status
from tests.imagefiles import HEIGHT, WIDTH, saved, scene

BOUNDS = Bounds(1 << 26, 100_000_000)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_size_is_read_from_every_kind_of_first_chunk(mode: str, options: dict[str, object]) -> None:
    data = saved(scene(mode), "WEBP", **options)
    assert inspect(data).size == (WIDTH, HEIGHT)
    assert isinstance(decode(data, BOUNDS), Picture)


@pytest.mark.parametrize(("side", "reason"), [(1 << 14, "over the bound of 100,000,000"), (9_000, "MiB to decode")])
def test_a_canvas_is_bounded_by_pixels_and_by_memory(side: int, reason: str) -> None:
    data = bytearray(saved(scene("RGBA"), "WEBP", exif=b"Exif\0\0II*\0"))
    data[24:30] = struct.pack("<I", side - 1)[:3] * 2
    found = decode(bytes(data), BOUNDS)
    assert isinstance(found, Fault) and (found.status, found.width) == (Status.TOO_LARGE, side)
    assert reason in found.detail and 81_000_000 * inspect(bytes(data)).bytes_per_pixel > MAX_MEMORY


def test_chunks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHUNKS", 50)
    data = saved(scene(), "WEBP") + b"abcd\0\0\0\0" * 60
    assert inspect(data).size  # what lies behind the file does not count
    with pytest.raises(RefusalError, match="50 chunks"):
        inspect(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def test_a_cut_header_is_truncated() -> None:
    found = decode(saved(scene(), "WEBP")[:20], BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TRUNCATED
