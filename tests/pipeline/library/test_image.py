"""Laws of images at hand: whatever holds one, the picture is the one that a scan decodes, or a fault that is told."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mole.views.preprocess import Preprocess
from pipeline.images.decode import Fault, Picture, decode
from pipeline.library.image import BOUNDS, ImageLike, decode_input, from_column
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
    ways: list[ImageLike] = [data, tmp_path / "a.bin", str(tmp_path / "a.bin"), Image.open(io.BytesIO(data))]
    for way in ways:
        np.testing.assert_array_equal(pixels(decode_input(way)), wanted)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_an_array_is_the_picture_that_pillow_makes_of_it(mode: str) -> None:
    array = np.asarray(scene(mode))
    wanted = pixels(decode_input(scene(mode)))
    np.testing.assert_array_equal(pixels(decode_input(array)), wanted)
    if mode == "L":
        np.testing.assert_array_equal(pixels(decode_input(array[..., None])), wanted)
        grey = from_column(array[None])  # as Ray gives a grey image among coloured ones
        assert not isinstance(grey, Fault)
        np.testing.assert_array_equal(pixels(decode_input(grey)), wanted)


class Dribbling(io.BytesIO):
    """A file that gives some bytes at a time, as a socket does."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read 100 bytes at most."""
        return super().read(min(size or 0, 100))


def test_a_file_that_is_open_is_read_from_where_it_stands(tmp_path: Path) -> None:
    data = saved(scene(), "PNG")
    wanted = pixels(decode(data, BOUNDS))
    (tmp_path / "a.bin").write_bytes(b"head" + data)
    with (tmp_path / "a.bin").open("rb") as file:
        file.seek(4)
        np.testing.assert_array_equal(pixels(decode_input(file)), wanted)
    for held in (io.BytesIO(data), Dribbling(data), bytearray(data), memoryview(data)):
        np.testing.assert_array_equal(pixels(decode_input(held)), wanted)


def closed(image: Image.Image) -> Image.Image:
    with image:
        pass
    image.close()
    return image


@pytest.mark.parametrize(
    ("image", "kind", "told"),
    [
        (None, TypeError, "got NoneType"),
        (3, TypeError, "an image must be the path or URL of a file, .* got int"),
        ([255, 216, 255], TypeError, "got list"),
        (io.StringIO("text"), TypeError, "open in binary mode"),
        (closed(Image.new("RGB", (40, 40))), ValueError, "the Pillow image is closed"),
        (closed(Image.open(io.BytesIO(saved(scene(), "PNG")))), ValueError, "the Pillow image is closed"),
        (np.zeros((64, 64), bool), TypeError, r"uint8, got an array of shape \(64, 64\) and dtype bool"),
        (np.zeros((64, 64, 3), np.float32), TypeError, "dtype float32"),
        (
            np.zeros((64, 64, 2), np.uint8),
            ValueError,
            r"\(H, W, 4\), got an array of shape \(64, 64, 2\) and dtype uint8",
        ),
        (np.zeros((2, 64, 64), np.uint8), ValueError, r"shape \(2, 64, 64\)"),
        (np.zeros(40, np.uint8), ValueError, r"shape \(40,\)"),
    ],
)
def test_what_no_image_can_be_is_an_error_of_the_call_and_in_a_column_a_fault(
    image: Any, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        decode_input(image)
    found = from_column(image)
    if not isinstance(image, Image.Image):
        assert isinstance(found, Fault) and found.detail


def test_files_that_are_not_open_for_reading_are_errors_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(scene(), "PNG"))
    with Image.open(tmp_path / "a.png") as image:
        pass
    with pytest.raises(ValueError, match="the Pillow image is closed"):
        decode_input(image)
    with (tmp_path / "b.png").open("wb") as file, pytest.raises(ValueError, match="must be open for reading"):
        decode_input(file)
    with (tmp_path / "a.png").open("rb") as closing:
        pass
    with pytest.raises(ValueError, match="closed file"):
        decode_input(closing)


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan")])
def test_nothing_in_a_column_is_a_missing_image(value: Any) -> None:
    assert from_column(value) == Fault(Status.MISSING, "no bytes in this column")


def test_a_window_is_cut_out_of_whatever_holds_the_picture() -> None:
    spec = Preprocess(size=32)
    data = saved(scene(), "PNG")
    for way in (data, scene(), np.asarray(scene())):
        assert pixels(decode_input(way, spec.region)).shape == (3, 32, 32)
        np.testing.assert_array_equal(pixels(decode_input(way, spec.region)), pixels(decode(data, BOUNDS, spec.region)))


@pytest.mark.parametrize(
    ("image", "status"),
    [
        (b"", Status.EMPTY),
        ("", Status.MISSING),
        ("a\0b.jpg", Status.MISSING),
        ("http://[::1", Status.MISSING),
        (b"<html>", Status.NOT_AN_IMAGE),
        (saved(scene(), "JPEG")[:500], Status.TRUNCATED),
        ("/no/such/file.jpg", Status.MISSING),
        ("zip://a::b", Status.MISSING),
        (Image.new("RGB", (8, 40)), Status.TOO_SMALL),
        (Image.new("1", (20_000, 5_001)), Status.TOO_LARGE),
        (np.zeros((8, 40), np.uint8), Status.TOO_SMALL),
        (np.zeros((0, 40, 3), np.uint8), Status.TOO_SMALL),
    ],
)
def test_what_is_no_picture_is_a_fault(image: Any, status: Status) -> None:
    found = decode_input(image)
    assert isinstance(found, Fault) and found.status is status and found.detail


def test_pillows_image_of_a_cut_file_is_a_fault() -> None:
    data = saved(scene(), "PNG")
    found = decode_input(Image.open(io.BytesIO(data[: len(data) // 2])))
    assert isinstance(found, Fault) and found.status is Status.TRUNCATED
