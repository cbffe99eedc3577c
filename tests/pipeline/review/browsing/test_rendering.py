"""Laws of rendering: what leaves was encoded here, is upright, and fits."""

import io

import numpy as np
from PIL import Image

from mole.views.preprocess import Preprocess
from mole.views.view import views
from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.records import Status
from pipeline.review.browsing.rendering import LARGE, THUMBNAIL, seen, shrunk, viewed
from tests.pictures import picture


def encoded(width: int, height: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "JPEG", **options)
    return file.getvalue()


def test_a_picture_fits_its_square_and_is_never_enlarged() -> None:
    for size, side, shown in (
        ((900, 300), THUMBNAIL, (320, 107)),
        ((64, 30), THUMBNAIL, (64, 30)),
        ((2000, 100), LARGE, (1600, 80)),
    ):
        [made] = shrunk(encoded(*size), side)
        assert isinstance(made, bytes)
        assert Image.open(io.BytesIO(made)).size == shown


def test_what_a_file_carries_besides_its_pixels_is_left_behind() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "<script>alert(1)</script>"
    [made] = shrunk(encoded(200, 100, exif=exif), THUMBNAIL)
    assert isinstance(made, bytes) and b"script" not in made
    assert Image.open(io.BytesIO(made)).size == (100, 200)


def test_bytes_that_are_no_picture_are_a_fault() -> None:
    for made in (shrunk(b"<svg/>", THUMBNAIL), seen(b"<svg/>", Preprocess()), viewed(b"<svg/>", Preprocess())):
        [fault] = made
        assert isinstance(fault, Fault) and fault.status is Status.NOT_AN_IMAGE


def test_the_views_are_those_of_the_scan_to_the_pixel() -> None:
    data = picture(3, form="png", side=300)
    whole = decode(data, Bounds(1 << 20, 1 << 20))
    assert isinstance(whole, Picture)
    for name, size in (
        ("crop", (224, 224)),
        ("crop-4", (896, 224)),
        ("crop-9", (896, 672)),
        ("resize+crop", (448, 224)),
    ):
        spec = Preprocess.named(name)
        [made] = seen(data, spec)
        assert isinstance(made, bytes)
        sheet = np.asarray(Image.open(io.BytesIO(made))).transpose(2, 0, 1)
        assert sheet.shape[:0:-1] == size
        assert (sheet[:, :224, :224] == views(whole.pixels_3HW, spec)[0]).all()
