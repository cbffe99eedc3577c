"""Laws of the encoding of a file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pipeline.images.formats.magic_bytes import detect_format
from pipeline.tune.data.encoding import Encoding, encoding_of, nearest_quality
from tests.pictures import picture


def saved(form: str, **how: object) -> bytes:
    """Encode a picture in some way."""
    held = io.BytesIO()
    with Image.open(io.BytesIO(picture(1, form="png"))) as image:
        image.save(held, form, **how)
    return held.getvalue()


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 75, 90, 95, 100])
def test_the_quality_that_pillow_wrote_is_read(quality: int) -> None:
    assert encoding_of(saved("JPEG", quality=quality), "jpeg").quality == quality


@pytest.mark.parametrize(("number", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_subsampling_is_read(number: int, name: str) -> None:
    assert encoding_of(saved("JPEG", subsampling=number), "jpeg").subsampling == name


def test_a_table_between_two_qualities_gets_the_nearest() -> None:
    with Image.open(io.BytesIO(saved("JPEG", quality=80))) as image:
        table_64 = np.array(image.quantization[0])  # type: ignore[attr-defined]
    table_64[:3] += 1
    assert nearest_quality(table_64) == 80


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_other_formats_have_no_quality(form: str) -> None:
    assert encoding_of(saved(form), form.lower()) == Encoding()


def test_blocks_are_seen_and_the_maker_named() -> None:
    exif = Image.Exif()
    exif[0x0131] = "GIMP 2.10"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read = encoding_of(saved("JPEG", exif=exif, icc_profile=profile, xmp=b"<x:xmpmeta></x:xmpmeta>"), "jpeg")
    assert (read.exif, read.icc, read.xmp, read.software) == (True, True, True, "GIMP 2.10")


def test_a_pngs_text_names_its_maker() -> None:
    text = PngInfo()
    text.add_text("Software", "NovelAI")
    assert encoding_of(saved("PNG", pnginfo=text), "png").software == "NovelAI"


def test_broken_bytes_tell_nothing_and_raise_nothing() -> None:
    data = saved("JPEG")
    for cut in (0, 2, 30, 200, len(data) // 2):
        assert encoding_of(data[:cut], "jpeg").exif is False


def test_a_grey_jpeg_has_a_quality_and_no_chroma(tmp_path: Path) -> None:
    Image.new("L", (32, 32), 90).save(tmp_path / "grey.jpg", quality=70)
    data = (tmp_path / "grey.jpg").read_bytes()
    assert detect_format(data) == "jpeg"
    assert encoding_of(data, "jpeg").quality == 70
    assert encoding_of(data, "jpeg").subsampling is None
