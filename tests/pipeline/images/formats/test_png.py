"""Laws of PNG: what makes no pixel can break none, and what makes them is checked."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats import png as module
from pipeline.images.formats.layout import RefusalError
from pipeline.images.formats.png import inspect
from pipeline.records import Status
from tests.imagefiles import HEIGHT, WIDTH, chunk, png, saved, scene

BOUNDS = Bounds(1 << 26, 100_000_000)
PIXELS_HW3 = np.asarray(scene())
SOUND = png(PIXELS_HW3, 8, 2)
BIG = zlib.compress(os.urandom(1_000) * 1_500)


def placed(*chunks: bytes) -> bytes:
    """Put chunks behind the header."""
    return SOUND[:33] + b"".join(chunks) + SOUND[33:]


def assert_shown(data: bytes) -> None:
    found = decode(data, BOUNDS)
    assert isinstance(found, Picture), found
    assert (found.pixels_3HW.transpose(1, 2, 0) == PIXELS_HW3).all()


@pytest.mark.parametrize(
    "data",
    [
        placed(chunk(b"iCCP", b"wide\0\0" + BIG)),
        placed(chunk(b"iCCP", b"wide\0\7" + BIG)),
        placed(chunk(b"iCCP", b"")),
        placed(chunk(b"zTXt", b"Comment\0\0" + BIG)),
        placed(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x" * 1_500_000))),
        placed(*[chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20)))] * 70),
        placed(chunk(b"tEXt", b"Comment\0hi")[:-1] + b"?"),
        placed(chunk(b"pHYs", b"")),
        placed(chunk(b"gAMA", b"\0")),
        placed(chunk(b"tRNS", b"\0")),
        placed(chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01")[:-1] + b"?"),
        placed(chunk(b"acTL", b"\0")),
        placed(chunk(b"fcTL", bytes(26)), chunk(b"fcTL", bytes(26))),
        placed(chunk(b"vpAg", bytes(9))),
        SOUND[:-12] + chunk(b"tEXt", b"behind\0all")[:-1] + b"?" + SOUND[-12:],
        SOUND[:-12],
        SOUND[:-12] + b"\0\0\0\0\0\0\0\0\0 garbage",
    ],
)
def test_a_broken_or_bulky_chunk_that_makes_no_pixel_is_left_out(data: bytes) -> None:
    assert_shown(data)


def test_transparency_and_orientation_are_kept() -> None:
    clear = placed(chunk(b"tRNS", struct.pack(">HHH", *map(int, PIXELS_HW3[5, 5]))))
    found = decode(clear, BOUNDS)
    assert isinstance(found, Picture) and (found.pixels_3HW[:, 5, 5] == 255).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    for data in (placed(turned), SOUND[:-12] + turned + SOUND[-12:]):
        found = decode(data, BOUNDS)
        assert isinstance(found, Picture)
        assert (found.pixels_3HW.transpose(1, 2, 0) == np.rot90(PIXELS_HW3, -1)).all()


@pytest.mark.parametrize("kind", [b"IDAT", b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_what_makes_pixels_is_damage(kind: bytes) -> None:
    data = bytearray(saved(scene("P"), "PNG"))
    at = data.index(kind)
    length = int.from_bytes(data[at - 4 : at])
    data[at + 4 + length] ^= 1
    found = decode(bytes(data), BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TRUNCATED
    assert (kind.decode() in found.detail and "checksum" in found.detail) or kind == b"IHDR"


@pytest.mark.parametrize(
    "data",
    [
        SOUND[:20],
        SOUND[:40],
        placed(SOUND[8:33]),
        SOUND[:33] + chunk(b"IEND", b""),
        png(PIXELS_HW3[..., 0], 8, 3),
    ],
)
def test_what_lacks_its_pixels_is_truncated(data: bytes) -> None:
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault) and (found.status, found.format) == (Status.TRUNCATED, "png")


def test_a_side_that_no_column_holds_is_too_large_and_its_numbers_stand_in_the_detail() -> None:
    found = decode(png(PIXELS_HW3, 8, 2, size=(2**31 + 5, 64)), BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TOO_LARGE
    assert (found.width, found.height) == (None, None) and "2,147,483,653 x 64" in found.detail


def test_apples_own_variant_is_unsupported() -> None:
    found = decode(SOUND[:8] + chunk(b"CgBI", bytes(4)) + SOUND[8:], BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.UNSUPPORTED and "CgBI" in found.detail


def test_chunks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHUNKS", 50)
    with pytest.raises(RefusalError, match="50 chunks"):
        inspect(placed(*[chunk(b"tEXt", b"a\0b")] * 60))


def test_an_animation_is_its_default_image_and_no_frame_is_read() -> None:
    frames = saved(scene(), "PNG", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT), "blue")])
    assert_shown(frames)
    assert b"fdAT" not in inspect(frames).data


@pytest.mark.parametrize("alpha", [65535, 32768])
def test_sixteen_bits_a_colour_are_scaled_and_transparency_is_laid_over_white(alpha: int) -> None:
    clear = np.full((HEIGHT, WIDTH, 1), alpha, ">u2")
    data = png(np.concatenate([PIXELS_HW3.astype(">u2") * 257, clear], 2).astype(">u2"), 16, 6)
    found = decode(data, BOUNDS)
    expected = PIXELS_HW3 * (alpha / 65535) + 255 * (1 - alpha / 65535)
    assert isinstance(found, Picture)
    assert np.abs(found.pixels_3HW.transpose(1, 2, 0) - expected).max() <= 1
