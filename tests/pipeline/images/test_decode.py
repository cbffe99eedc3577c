"""Laws of decode: any bytes give a picture or a named fault, and a picture is what Pillow would show."""

import io
import warnings
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mole.views.preprocess import Window
from pipeline.images import decode as module
from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats.magic_bytes import detect_format
from pipeline.records import Status
from tests.imagefiles import HEIGHT, WIDTH, saved, scene

BOUNDS = Bounds(max_bytes=1 << 22, max_pixels=1_000_000)


def picture(data: bytes) -> Picture:
    decoded = decode(data, BOUNDS)
    assert isinstance(decoded, Picture), decoded
    return decoded


def fault(data: bytes, bounds: Bounds = BOUNDS) -> Fault:
    decoded = decode(data, bounds)
    assert isinstance(decoded, Fault), decoded
    return decoded


def difference(decoded: Picture, reference: Image.Image) -> int:
    """The largest difference of any channel from an image of Pillow's."""
    expected_HW3 = np.asarray(reference.convert("RGB")).astype(int)
    return int(np.abs(decoded.pixels_3HW.transpose(1, 2, 0).astype(int) - expected_HW3).max())


@pytest.mark.parametrize(
    ("form", "name", "options"),
    [
        ("JPEG", "jpeg", {"quality": 90}),
        ("JPEG", "jpeg", {"quality": 75, "progressive": True}),
        ("JPEG", "jpeg", {"quality": 95, "subsampling": 0}),
        ("PNG", "png", {}),
        ("WEBP", "webp", {"quality": 80}),
        ("GIF", "gif", {}),
        ("BMP", "bmp", {}),
        ("TIFF", "tiff", {"compression": "tiff_lzw"}),
        ("AVIF", "avif", {}),
        ("JPEG2000", "jp2", {}),
    ],
)
def test_every_format_is_named_and_shows_what_pillow_shows(form: str, name: str, options: dict[str, Any]) -> None:
    data = saved(scene(), form, **options)
    decoded = picture(data)
    assert (decoded.format, decoded.width, decoded.height) == (name, WIDTH, HEIGHT)
    assert decoded.pixels_3HW.shape == (3, HEIGHT, WIDTH)
    assert difference(decoded, Image.open(io.BytesIO(data))) <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    form = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    data = saved(scene(mode), form)
    assert difference(picture(data), Image.open(io.BytesIO(data))) <= 1


def test_a_grey_jpeg_takes_the_fast_path_and_is_grey() -> None:
    decoded = picture(saved(scene("L"), "JPEG"))
    assert (decoded.pixels_3HW[0] == decoded.pixels_3HW[2]).all()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied_once_in_every_format(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(scene(), form, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        upright = ImageOps.exif_transpose(opened)
    decoded = picture(data)
    assert (decoded.width, decoded.height) == upright.size == ((HEIGHT, WIDTH) if turn > 4 else (WIDTH, HEIGHT))
    assert difference(decoded, upright) <= 1


def test_a_broken_exif_block_turns_nothing() -> None:
    data = saved(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xee" * 40)
    assert picture(data).width == WIDTH


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    clear = scene("RGB").convert(mode)
    clear.putalpha(0)
    assert (picture(saved(clear, "PNG")).pixels_3HW == 255).all()


def test_half_transparent_black_is_the_grey_that_a_browser_shows() -> None:
    veil = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 128))
    assert set(picture(saved(veil, "PNG")).pixels_3HW.flatten().tolist()) == {127}


def test_the_clear_colour_of_a_palette_is_white() -> None:
    palette = Image.new("P", (WIDTH, HEIGHT), 3)
    palette.putpalette([0, 0, 0] * 8)
    assert (picture(saved(palette, "PNG", transparency=3)).pixels_3HW == 255).all()
    assert (picture(saved(palette, "GIF", transparency=3)).pixels_3HW == 255).all()


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    ramp_HW = np.tile(np.linspace(0, 65535, WIDTH).astype(np.uint16), (HEIGHT, 1))
    row = picture(saved(Image.fromarray(ramp_HW), "PNG")).pixels_3HW[0, 0]
    assert np.abs(row.astype(float) - np.linspace(0, 255, WIDTH)).max() <= 1


@pytest.mark.parametrize("most", [1.0, 255.0, 65535.0])
def test_a_float_tiff_keeps_its_range(most: float) -> None:
    ramp_HW = np.tile(np.linspace(0, most, WIDTH).astype(np.float32), (HEIGHT, 1))
    row = picture(saved(Image.fromarray(ramp_HW), "TIFF")).pixels_3HW[0, 0]
    assert np.abs(row.astype(float) - np.linspace(0, 255, WIDTH)).max() <= 1


def test_an_adobe_cmyk_jpeg_is_not_shown_as_its_negative() -> None:
    light = Image.new("CMYK", (WIDTH, HEIGHT), (10, 10, 10, 0))
    assert picture(saved(light, "JPEG")).pixels_3HW.mean() > 200


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_its_first_frame(form: str) -> None:
    red, blue = Image.new("RGB", (WIDTH, HEIGHT), "red"), Image.new("RGB", (WIDTH, HEIGHT), "blue")
    data = saved(red, form, save_all=True, append_images=[blue], lossless=True)
    assert picture(data).pixels_3HW.mean(axis=(1, 2)).round().tolist() == [255, 0, 0]


def test_no_bytes_are_empty() -> None:
    assert fault(b"").status == Status.EMPTY


@pytest.mark.parametrize(
    "data",
    [b"<!DOCTYPE html><html><svg width=1></svg></html>", b"\0" * 400, b"BM is no bitmap but a text", b"{}", b"\xff"],
)
def test_what_is_no_image_is_called_so_and_its_first_bytes_are_told(data: bytes) -> None:
    found = fault(data)
    assert found.status == Status.NOT_AN_IMAGE
    assert repr(data[:16]) in found.detail


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "cr3"),
        (b"\xff\x0a\xfa\x1f\x41", "jxl"),
        (b"%PDF-1.7\n", "pdf"),
        (b"8BPS\0\1", "psd"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "eps"),
        (b"\0\0\1\0\1\0\x10\x10", "ico"),
        (b"P6\n2 2\n255\n" + b"\0" * 12, "pnm"),
        (b'<?xml version="1.0"?>\n<!-- a drawing -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "svg"),
        (b"  <svg viewBox='0 0 1 1'/>", "svg"),
    ],
)
def test_a_picture_that_nothing_here_reads_is_unsupported(data: bytes, name: str) -> None:
    found = fault(data)
    assert (found.status, found.format) == (Status.UNSUPPORTED, name)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_file_is_truncated_and_keeps_its_format(form: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    data = saved(noise, form)
    found = fault(data[: int(len(data) * share)])
    assert found.status == Status.TRUNCATED
    assert found.format == picture(data).format
    assert found.detail


class NoFastPathError(ValueError, RuntimeError):
    """What the fast decoder says, whichever it is, of a file that it does not take."""


def refuse(*_: Any, **__: Any) -> None:
    raise NoFastPathError("not taken")


@pytest.mark.parametrize("left", [3, 20, 300, -200])
def test_the_fast_path_and_pillow_say_the_same_of_a_cut_jpeg(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(scene(), "JPEG")[:left]
    fast = decode(data, BOUNDS)

    monkeypatch.setattr(module, "decode_jpeg", refuse)
    slow = decode(data, BOUNDS)
    assert isinstance(fast, Fault) and isinstance(slow, Fault)
    assert (fast.status, fast.format, fast.width) == (slow.status, slow.format, slow.width)


def test_the_fast_path_and_pillow_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(scene(), "JPEG", quality=85)
    fast = picture(data)

    monkeypatch.setattr(module, "decode_jpeg", refuse)
    slow = picture(data)
    assert np.abs(fast.pixels_3HW.astype(int) - slow.pixels_3HW).max() <= 1


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm() -> None:
    data = saved(scene(), "JPEG")
    assert difference(picture(data + b"\0" * 1000), Image.open(io.BytesIO(data))) <= 1


def test_a_file_over_the_byte_bound_is_not_opened() -> None:
    found = fault(saved(scene(), "PNG"), Bounds(max_bytes=100, max_pixels=1_000_000))
    assert found.status == Status.TOO_LARGE
    assert "over the bound of 100" in found.detail


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_picture_over_the_pixel_bound_is_refused_before_its_pixels_are_read(form: str) -> None:
    data = saved(scene(), form)
    cut = data[: len(data) * 9 // 10]
    assert fault(cut).status == Status.TRUNCATED
    found = fault(cut, Bounds(max_bytes=1 << 20, max_pixels=WIDTH * HEIGHT - 1))
    assert (found.status, found.width, found.height, found.format) == (
        Status.TOO_LARGE,
        WIDTH,
        HEIGHT,
        detect_format(data),
    )


def test_a_bomb_of_a_png_costs_no_memory() -> None:
    bomb = saved(Image.new("1", (12_000, 12_000)), "PNG")
    assert len(bomb) < 20_000
    found = fault(bomb)
    assert (found.status, found.width) == (Status.TOO_LARGE, 12_000)


def test_a_side_under_the_bound_is_too_small_and_one_on_it_is_not() -> None:
    assert fault(saved(Image.new("RGB", (400, 15)), "PNG")).status == Status.TOO_SMALL
    assert picture(saved(Image.new("RGB", (400, 16)), "PNG")).height == 16


def test_no_warning_leaves_the_decoder() -> None:
    palette = scene("P")
    palette.info["transparency"] = bytes(range(256))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture(saved(palette, "PNG", transparency=bytes(range(256))))
        decode(saved(scene(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01"), BOUNDS)


SEEDS = [saved(scene(), form) for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")]


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=12),
    end=st.integers(0, 1 << 20),
)
def test_no_bytes_whatever_raise(seed: bytes, edits: list[tuple[int, int]], end: int) -> None:
    data = bytearray(seed)
    for at, value in edits:
        data[at % len(data)] = value
    decoded = decode(bytes(data[:end]), BOUNDS)
    assert isinstance(decoded, Picture) or decoded.detail


def heic(image: Image.Image, **options: Any) -> bytes:
    """Encode as phones do."""
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=95, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_heic_is_decoded(mode: str) -> None:
    decoded = picture(heic(scene(mode)))
    assert (decoded.format, decoded.width, decoded.height) == ("heic", WIDTH, HEIGHT)
    assert difference(decoded, scene(mode)) <= 12


@pytest.mark.parametrize("turn", range(4))
def test_a_heic_is_upright_by_its_own_turn(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = Image.open(io.BytesIO(saved(scene(), "JPEG", exif=exif)))
    data = bytearray(heic(turned))
    place = data.index(b"irot") + 4
    data[place] = 0
    stored_3HW = picture(bytes(data)).pixels_3HW
    data[place] = turn
    decoded = picture(bytes(data))
    assert (decoded.height, decoded.width) == decoded.pixels_3HW.shape[1:]
    assert (decoded.pixels_3HW == np.rot90(stored_3HW, turn, (1, 2))).all()


def test_a_heic_of_ten_bits_is_scaled_to_eight() -> None:
    deep = (np.asarray(scene()).astype(np.uint16) * 257).tobytes()
    out = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (WIDTH, HEIGHT), deep).save(out, quality=95)
    assert difference(picture(out.getvalue()), scene()) <= 12


def test_of_a_heic_of_several_images_the_primary_is_decoded() -> None:
    both = pillow_heif.from_pillow(Image.new("RGB", (48, 48), "red"))
    both.add_from_pillow(scene())
    out = io.BytesIO()
    both.save(out, quality=95, primary_index=1)
    assert difference(picture(out.getvalue()), scene()) <= 12


def test_of_a_film_of_avif_the_first_frame_is_decoded() -> None:
    data = saved(scene(), "AVIF", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])
    assert difference(picture(data), scene()) <= 12


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_cut_heic_is_truncated(share: float) -> None:
    data = heic(scene())
    found = fault(data[: int(len(data) * share)])
    assert (found.status, found.format) == (Status.TRUNCATED, "heic")


@pytest.mark.parametrize(("status", "error"), [(Status.TOO_LARGE, MemoryError()), (Status.TRUNCATED, RecursionError())])
def test_whatever_a_reader_raises_is_the_images_fault(
    status: Status, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    found = fault(saved(scene(), "PNG"))
    assert found.status == status and type(error).__name__ in found.detail


@pytest.mark.parametrize("form", ["WEBP", "PNG", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("turn", [1, 6])
def test_a_window_is_that_of_the_whole_in_every_format(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(scene(), form, **({} if form == "GIF" else {"exif": exif}))
    whole = picture(data)
    part = decode(data, BOUNDS, lambda *_: Window(10, 20, 30, 25))
    assert isinstance(part, Picture)
    assert (part.pixels_3HW == whole.pixels_3HW[:, 10:40, 20:45]).all()
