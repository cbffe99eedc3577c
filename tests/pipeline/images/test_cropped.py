"""Laws of a rectangle's decoding: to the bit what the whole has there, and nothing at all where that is in doubt."""

import io
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mole.views.preprocess import Preprocess, Window
from mole.views.view import views
from pipeline.images import cropped
from pipeline.images.cropped import decode_window
from pipeline.images.decode import Bounds, Fault, Picture, decode

needs_built = pytest.mark.skipif(
    not cropped.IS_BUILT, reason="pipeline/images/cropped.c was not built: no compiler or no headers"
)
BOUNDS = Bounds(max_bytes=1 << 24, max_pixels=1 << 24)
HEIGHT, WIDTH = 203, 331
SPEC = Preprocess(mode="crop", size=64)


def noise(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Colours that differ from pixel to pixel, so that each neighbour that is left out shows; uint8 (H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def jpeg(pixels_HW3: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels_HW3).save(out, "JPEG", **options)
    return out.getvalue()


def seen(data: bytes, spec: Preprocess = SPEC, *, whole: bool = False) -> Picture:
    picture = decode(data, BOUNDS) if whole else decode(data, BOUNDS, spec.region)
    assert isinstance(picture, Picture), picture
    return picture


ENCODINGS = {
    **{
        f"4:{chroma}": simplejpeg.encode_jpeg(noise(), 85, "RGB", chroma)
        for chroma in ("444", "422", "420", "440", "411")
    },
    "grey": jpeg(noise()[..., 0]),
    "progressive": jpeg(noise(), progressive=True, quality=92),
    "restarts": jpeg(noise(), restart_marker_blocks=5),
    "rgb": jpeg(noise(), keep_rgb=True),
}


@needs_built
@pytest.mark.parametrize("name", ENCODINGS)
@settings(deadline=None)
@given(data=st.data())
def test_a_rectangle_is_to_the_bit_what_the_whole_has_there(name: str, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, HEIGHT - 1)), data.draw(st.integers(0, WIDTH - 1))
    height, width = data.draw(st.integers(1, HEIGHT - top)), data.draw(st.integers(1, WIDTH - left))
    whole_HW3 = simplejpeg.decode_jpeg(ENCODINGS[name])
    part_3HW = decode_window(ENCODINGS[name], (HEIGHT, WIDTH), Window(top, left, height, width))
    assert part_3HW is not None
    assert np.array_equal(part_3HW.transpose(1, 2, 0), whole_HW3[top : top + height, left : left + width])


@needs_built
@pytest.mark.parametrize(
    ("data", "size"),
    [
        (ENCODINGS["4:420"][:-2], (HEIGHT, WIDTH)),
        (ENCODINGS["4:420"][:4000] + cropped.END_MARKER, (HEIGHT, WIDTH)),
        (ENCODINGS["4:420"], (HEIGHT, WIDTH + 1)),
        (jpeg(np.zeros((HEIGHT, WIDTH, 4), np.uint8)[..., :3])[:30] + cropped.END_MARKER, (HEIGHT, WIDTH)),
        (b"no JPEG" + cropped.END_MARKER, (HEIGHT, WIDTH)),
        (b"", (HEIGHT, WIDTH)),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_left_to_the_whole_decoder(data: bytes, size: tuple[int, int]) -> None:
    assert decode_window(data, size, Window(100, 100, 64, 64)) is None


@needs_built
@given(edits=st.lists(st.tuples(st.integers(2, 20_000), st.integers(0, 255)), max_size=8))
def test_no_bytes_whatever_end_the_process(edits: list[tuple[int, int]]) -> None:
    data = bytearray(ENCODINGS["progressive"])
    for place, value in edits:
        data[place % (len(data) - 2)] = value
    decode_window(bytes(data), (HEIGHT, WIDTH), Window(100, 100, 64, 64))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_window_is_the_same_part_of_an_image_however_it_is_stored(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    out = io.BytesIO()
    Image.fromarray(noise(75, 98)).save(out, form, exif=exif)
    part, whole = seen(out.getvalue()), seen(out.getvalue(), whole=True)
    assert (part.height, part.width) == (whole.height, whole.width) == whole.pixels_3HW.shape[1:]
    assert part.pixels_3HW.shape == (3, 64, 64)
    assert (views(part.pixels_3HW, SPEC) == views(whole.pixels_3HW, SPEC)).all()


@given(height=st.integers(16, 140), width=st.integers(16, 140))
def test_a_view_of_the_window_is_the_view_of_the_whole(height: int, width: int) -> None:
    data = jpeg(noise(height, width))
    assert (views(seen(data).pixels_3HW, SPEC) == views(seen(data, whole=True).pixels_3HW, SPEC)).all()


@pytest.mark.parametrize("name", ["crop-4", "texture-4", "resize+crop"])
def test_a_spec_that_looks_everywhere_has_no_window(name: str) -> None:
    assert Preprocess.named(name).region(1000, 1000) is None


def test_without_what_was_built_the_views_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = seen(ENCODINGS["4:420"])
    monkeypatch.setattr(cropped, "_LIBRARY", None)
    slow = seen(ENCODINGS["4:420"])
    assert (quick.pixels_3HW == slow.pixels_3HW).all() and (quick.width, quick.height) == (slow.width, slow.height)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_file_cut_below_the_window_is_truncated_all_the_same(share: float) -> None:
    data = jpeg(noise())
    cut = decode(data[: int(share * len(data))], BOUNDS, SPEC.region)
    assert isinstance(cut, Fault) and cut == decode(data[: int(share * len(data))], BOUNDS)


@needs_built
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_window_of_a_progressive_file_that_lacks_scans_is_that_of_the_whole(mode: str, subsampling: int) -> None:
    coarse = Image.fromarray(noise(23, 37)).resize((331, 203), Image.Resampling.BICUBIC).convert(mode)
    held = io.BytesIO()
    coarse.save(held, "JPEG", progressive=True, quality=60, subsampling=subsampling)
    data = held.getvalue()
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    for cut in scans[1:]:
        lacking = data[:cut] + cropped.END_MARKER
        assert decode_window(lacking, (203, 331), Window(70, 130, 64, 64)) is None
        part, whole = seen(lacking), seen(lacking, whole=True)
        window = SPEC.region(whole.height, whole.width)
        assert isinstance(window, Window)
        top, left, high, wide = window
        assert (part.pixels_3HW == whole.pixels_3HW[:, top : top + high, left : left + wide]).all()
    assert decode_window(data, (203, 331), Window(70, 130, 64, 64)) is not None
