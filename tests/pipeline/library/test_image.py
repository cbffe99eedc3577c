"""Laws of images at hand: whatever holds one, the picture is the one that a scan decodes, or a fault that is told."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mole.preprocess import Preprocess
from pipeline.decode import Fault, Picture, decode
from pipeline.library.image import BOUNDS, Given, opened
from pipeline.records import Status
from tests.imagefiles import saved, scene


def turned(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return saved(scene(), "JPEG", exif=exif, quality=95)


def animated() -> bytes:
    frames = [scene("P"), scene("L").convert("P")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


FILES: dict[str, Callable[[], bytes]] = {
    "plain": lambda: saved(scene(), "JPEG"),
    "turned": lambda: turned(6),
    "mirrored": lambda: turned(5),
    "transparent": lambda: saved(scene("RGBA"), "PNG"),
    "palette": lambda: saved(scene("P"), "PNG"),
    "cmyk": lambda: saved(scene("CMYK"), "JPEG"),
    "profiled": lambda: saved(scene(), "PNG", icc_profile=b"profile"),
    "deep": lambda: saved(Image.fromarray(np.asarray(scene("L"), np.uint16) * 257), "PNG"),
    "animated": animated,
    "webp": lambda: saved(scene(), "WEBP", lossless=True),
}


def pixels(found: Picture | Fault) -> np.ndarray:
    assert isinstance(found, Picture), found
    return found.pixels_3HW


@pytest.mark.parametrize("kind", FILES)
def test_bytes_paths_and_pillows_images_are_the_picture_of_a_scan(kind: str, tmp_path: Path) -> None:
    data = FILES[kind]()
    (tmp_path / "a.bin").write_bytes(data)
    wanted = pixels(decode(data, BOUNDS))
    ways: list[Given] = [data, tmp_path / "a.bin", str(tmp_path / "a.bin"), Image.open(io.BytesIO(data))]
    for way in ways:
        np.testing.assert_array_equal(pixels(opened(way)), wanted)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_an_array_is_the_picture_that_pillow_makes_of_it(mode: str) -> None:
    array = np.asarray(scene(mode))
    wanted = pixels(opened(scene(mode)))
    np.testing.assert_array_equal(pixels(opened(array)), wanted)
    if mode == "L":
        np.testing.assert_array_equal(pixels(opened(array[None])), wanted)


def test_a_window_is_cut_out_of_whatever_holds_the_picture() -> None:
    spec = Preprocess(size=32)
    data = saved(scene(), "PNG")
    for way in (data, scene(), np.asarray(scene())):
        assert pixels(opened(way, spec.window)).shape == (3, 32, 32)
        np.testing.assert_array_equal(pixels(opened(way, spec.window)), pixels(decode(data, BOUNDS, spec.window)))


@pytest.mark.parametrize(
    ("image", "status"),
    [
        (None, Status.EMPTY),
        (b"", Status.EMPTY),
        (b"<html>", Status.NOT_AN_IMAGE),
        (saved(scene(), "JPEG")[:500], Status.TRUNCATED),
        ("/no/such/file.jpg", Status.MISSING),
        ("zip://a::b", Status.MISSING),
        (Image.new("RGB", (8, 40)), Status.TOO_SMALL),
        (Image.new("1", (20_000, 5_001)), Status.TOO_LARGE),
        (np.zeros((40, 40, 5), np.uint8), Status.UNSUPPORTED),
        (np.zeros((40, 40, 3), np.complex64), Status.UNSUPPORTED),
        (np.zeros(40, np.uint8), Status.UNSUPPORTED),
    ],
)
def test_what_is_no_picture_is_a_fault(image: Any, status: Status) -> None:
    found = opened(image)
    assert isinstance(found, Fault) and found.status is status and found.detail


def test_pillows_image_of_a_cut_file_is_a_fault() -> None:
    data = saved(scene(), "PNG")
    found = opened(Image.open(io.BytesIO(data[: len(data) // 2])))
    assert isinstance(found, Fault) and found.status is Status.TRUNCATED
