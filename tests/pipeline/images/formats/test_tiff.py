"""Laws of TIFF: a camera raw is never judged by its preview, a grey has a white that is known, and tiles are bounded."""

import struct

import numpy as np
import pytest
from PIL import Image

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats.layout import RefusalError
from pipeline.images.formats.tiff import inspect
from pipeline.records import Status
from tests.imagefiles import HEIGHT, WIDTH, directory, saved, scene, tiff

BOUNDS = Bounds(1 << 26, 100_000_000)
GREY_HW = np.asarray(scene("L"))
RGB_HW3 = np.asarray(scene())


def shown(data: bytes) -> np.ndarray:
    found = decode(data, BOUNDS)
    assert isinstance(found, Picture), found
    return found.pixels_3HW.transpose(1, 2, 0)


def fault(data: bytes) -> Fault:
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault), found
    return found


def raw(*, sub: dict[int, tuple[int, ...]], first: dict[int, tuple[int, ...]], chained: bool = False) -> bytes:
    """A preview of the scene, with another image in its tree or behind it."""
    preview = RGB_HW3.tobytes()
    tags = {
        254: (1,), 256: (WIDTH,), 257: (HEIGHT,), 258: (8, 8, 8), 259: (1,), 262: (2,), 273: (0,), 277: (3,),
        278: (HEIGHT,), 279: (len(preview),),
    } | first  # fmt: skip
    if not chained:
        tags[330] = (0,)
    end = 8 + len(directory(tags, 8))
    tags[273] = (end,)
    tags |= {} if chained else {330: (end + len(preview),)}
    behind = {256: (1200,), 257: (900,), 258: (16,), 259: (1,), 277: (1,), 278: (900,), 279: (99,), 273: (end,)} | sub
    first_part = directory(tags, 8, following=end + len(preview) if chained else 0)
    return b"II*\0\x08\0\0\0" + first_part + preview + directory(behind, end + len(preview))


MAKER = {271: tuple(struct.unpack("<3I", b"NIKON CORP\0\0"))}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (raw(sub={262: (32803,)}, first={50706: (0x0401,)}), "dng"),
        (raw(sub={262: (34892,)}, first={}), "raw"),
        (raw(sub={262: (32803,)}, first={}, chained=True), "raw"),
        (raw(sub={259: (34713,)}, first={}), "raw"),
        (raw(sub={262: (32803,), 254: (0,)}, first=MAKER).replace(b"\x0f\1\4\0\3", b"\x0f\1\2\0\x0c"), "nef"),
        (tiff((GREY_HW * 16).astype("<u2"), 16, 32803), "raw"),
    ],
)
def test_a_camera_raw_is_unsupported_and_not_its_preview(data: bytes, name: str) -> None:
    found = fault(data)
    assert (found.status, found.format) == (Status.UNSUPPORTED, name)
    assert "camera raw" in found.detail


def test_a_first_page_that_is_a_preview_is_not_judged_and_a_small_copy_behind_does_no_harm() -> None:
    assert "preview" in fault(raw(sub={262: (2,)}, first={})).detail
    assert (shown(raw(sub={262: (2,), 256: (8,), 257: (8,), 254: (1,)}, first={254: (0,)})) == RGB_HW3).all()
    assert (shown(saved(scene(), "TIFF", save_all=True, append_images=[scene("L")])) == RGB_HW3).all()


TWELVE = np.zeros((HEIGHT, WIDTH * 3 // 2), np.uint8)
TWELVE[:, 0::3], TWELVE[:, 1::3] = GREY_HW[:, 0::2], GREY_HW[:, 1::2] >> 4
TWELVE[:, 2::3] = (GREY_HW[:, 1::2] & 15) << 4


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (tiff(GREY_HW, 8), 0),
        (tiff(255 - GREY_HW, 8, 0), 0),
        (tiff(GREY_HW.astype("<u2") * 257, 16), 0),
        (tiff(65535 - GREY_HW.astype("<u2") * 257, 16, 0), 0),
        (tiff(TWELVE, 12, t256=(WIDTH,)), 1),
        (tiff(GREY_HW.astype("<f4") / 255, 32, t339=(3,)), 0),
        (tiff(1 - GREY_HW.astype("<f4") / 255, 32, 0, t339=(3,)), 0),
        (tiff(GREY_HW.astype("<f4") + 0.25, 32, t339=(3,)), 1),
        (tiff(GREY_HW.astype("<f4"), 32, t339=(3,)), 0),
        (tiff(GREY_HW.astype("<f4") * 257, 32, t339=(3,)), 0),
        (saved(scene("L"), "TIFF", compression="tiff_lzw", big_tiff=True), 0),
    ],
)
def test_a_deep_grey_has_its_white_where_its_kind_says(data: bytes, most: int) -> None:
    assert np.abs(shown(data).astype(int) - GREY_HW[..., None]).max() <= most


@pytest.mark.parametrize("above", [1.7, 5.0])
def test_highlights_of_floats_are_cut_and_the_rest_stays(above: float) -> None:
    floats_HW = GREY_HW.astype("<f4") / 255 * above
    expected_HW = (floats_HW.clip(0, 1) * 255).round()
    assert np.abs(shown(tiff(floats_HW, 32, t339=(3,)))[..., 0] - expected_HW).max() <= 1


def test_few_highlights_far_above_white_are_cut_too() -> None:
    floats_HW = GREY_HW.astype("<f4") / 255
    floats_HW[:2, :2] = 400.5
    assert (shown(tiff(floats_HW, 32, t339=(3,)))[10:, 10:, 0] == GREY_HW[10:, 10:]).all()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tiff(GREY_HW.astype("<i4") << 23, 32, t339=(2,)), "32-bit signed integer"),
        (tiff(GREY_HW.astype("<u4"), 32), "32-bit integer"),
        (tiff(GREY_HW.astype("<i2"), 16, t339=(2,)), "16-bit signed integer"),
        (tiff(GREY_HW.astype("i1"), 8, t339=(2,)), "8-bit signed integer"),
        (tiff(GREY_HW.astype("<f8"), 64, t339=(3,)), "64-bit floating-point"),
        (tiff(GREY_HW.astype("<f2"), 16, t339=(3,)), "16-bit floating-point"),
        (tiff(RGB_HW3.astype("<f4"), 32, 2, t339=(3, 3, 3)), "3 x 32-bit floating-point"),
        (tiff(GREY_HW.astype("<f4") - 99, 32, t339=(3,)), "the white level is unknown"),
        (tiff(np.full_like(GREY_HW, np.nan, "<f4"), 32, t339=(3,)), "the white level is unknown"),
        (tiff(GREY_HW.astype("<f4") * 1e6, 32, t339=(3,)), "the white level is unknown"),
        (tiff(GREY_HW, 8, t259=(34712,)), "compression 34712"),
        (tiff(RGB_HW3[:, : WIDTH // 2], 8, 6, t256=(WIDTH,)), "subsampled"),
    ],
)
def test_a_sound_page_that_cannot_be_shown_truly_is_unsupported_with_its_kind(data: bytes, kind: str) -> None:
    found = fault(data)
    assert found.status == Status.UNSUPPORTED and kind in found.detail


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr"])
def test_every_mode_is_shown_as_pillow_shows_it(mode: str) -> None:
    image = scene(mode)
    assert np.abs(shown(saved(image, "TIFF")).astype(int) - np.asarray(image.convert("RGB"))).max() <= 3


def test_premultiplied_transparency_is_laid_over_white() -> None:
    half_HW2 = np.stack([GREY_HW // 2, np.full_like(GREY_HW, 128)], axis=2)
    expected_HW = GREY_HW / 2 + 127
    assert np.abs(shown(tiff(half_HW2, 8, t338=(1,)))[..., 0] - expected_HW).max() <= 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(GREY_HW, 8, t322=(60_000,), t323=(60_000,), t324=(8,), t325=(99,)), "tiles of 60,000"),
        (tiff(GREY_HW, 8, t256=(9_000,), t257=(9_000,), t322=(16,), t323=(16,), t324=(8,)), "strips or tiles"),
    ],
)
def test_tiles_that_cost_more_than_the_page_are_refused(data: bytes, reason: str) -> None:
    found = fault(data)
    assert found.status == Status.TOO_LARGE and reason in found.detail


def test_values_that_lie_over_each_other_are_damage() -> None:
    tags: dict[int, tuple[int, ...]] = {256: (WIDTH,), 257: (HEIGHT,)}
    tags |= dict.fromkeys(range(60_000, 60_050), (0,))
    data = bytearray(b"II*\0\x08\0\0\0" + directory(tags, 8) + bytes(4_000))
    for at in range(8 + 2 + 24, 8 + 2 + 12 * 52, 12):
        data[at + 4 : at + 8] = struct.pack("<I", 1_000)
    with pytest.raises(RefusalError, match="more than the file has"):
        inspect(bytes(data))


@pytest.mark.parametrize(
    "data", [b"II*\0", b"MM\0*\0\0\0\x08", b"II*\0\xff\xff\xff\x7f" + bytes(90), tiff(GREY_HW, 8)[:90]]
)
def test_a_directory_that_is_not_whole_is_truncated(data: bytes) -> None:
    assert fault(data).status == Status.TRUNCATED


@pytest.mark.parametrize("tag", [256, 257, 258, 277])
def test_a_negative_number_counts_as_none(tag: int) -> None:
    sound = tiff(GREY_HW, 8, 1)
    entry, begin = struct.pack("<HHI", tag, 4, 1), sound.index(struct.pack("<HHI", tag, 4, 1))
    assert sound.count(entry) == 1
    negative = sound[:begin] + struct.pack("<HHIi", tag, 9, 1, -9) + sound[begin + 12 :]
    if tag in (256, 257):
        with pytest.raises(RefusalError, match="no complete directory"):
            inspect(negative)
    else:
        layout = inspect(negative)
        assert (layout.memory >= 0, layout.white) == (True, 1 if tag == 258 else 255)


def test_a_chain_that_leads_back_ends() -> None:
    tags: dict[int, tuple[int, ...]] = {256: (WIDTH,), 257: (HEIGHT,), 330: (8,), 273: (0,), 279: (9,)}
    assert inspect(b"II*\0\x08\0\0\0" + directory(tags, 8, following=8)).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_turned_page_is_bounded_by_the_size_that_it_is_shown_with(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    assert inspect(saved(scene(), "TIFF", exif=exif)).size == ((HEIGHT, WIDTH) if turn > 4 else (WIDTH, HEIGHT))
