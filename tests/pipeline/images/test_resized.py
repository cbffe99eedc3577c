"""Laws of a resize while decoding: to the bit what the view of the whole is, of every size, format and orientation."""

import ctypes
import io
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mole.views.preprocess import Preprocess, Resize
from mole.views.view import views
from pipeline.images import cropped
from pipeline.images.cropped import resize_pixels
from pipeline.images.decode import Bounds, Fault, Picture, decode
from tests.pipeline.images.test_cropped import ENCODINGS, jpeg, needs_built, noise

BOUNDS = Bounds(max_bytes=1 << 26, max_pixels=1 << 26)
SMALL = Preprocess(mode="resize", size=32, short_side=32)
SHIPPED = Preprocess(mode="resize")


def view_of(data: bytes, spec: Preprocess, *, whole: bool) -> np.ndarray:
    picture = decode(data, BOUNDS) if whole else decode(data, BOUNDS, spec.region)
    assert isinstance(picture, Picture), picture
    if not whole and cropped.IS_BUILT and isinstance(spec.region(picture.height, picture.width), Resize):
        assert picture.pixels_3HW.shape == (3, spec.size, spec.size)
    return views(picture.pixels_3HW, spec)


@needs_built
@given(height=st.integers(16, 400), width=st.integers(16, 400))
@example(height=203, width=331)
@example(height=331, width=66)
@example(height=64, width=64)
@example(height=32, width=400)
@example(height=200, width=17)
@settings(deadline=None)
def test_resized_rows_are_to_the_bit_the_view_of_the_whole(height: int, width: int) -> None:
    pixels_HW3 = noise(height, width)
    resize = SMALL.region(height, width)
    whole = views(pixels_HW3.transpose(2, 0, 1), SMALL)[0]
    if resize is None:
        assert max(height, width) > 16 * min(height, width)
        return
    assert isinstance(resize, Resize)
    view_3SS = resize_pixels(pixels_HW3, resize, (False, ()))
    assert view_3SS is not None and np.array_equal(view_3SS, whole)


@needs_built
@pytest.mark.parametrize("size", [(900, 1385), (1200, 900), (375, 500), (500, 1100), (1000, 448), (3000, 2000)])
def test_the_shipped_view_of_pixels_is_to_the_bit_that_of_the_whole(size: tuple[int, int]) -> None:
    pixels_HW3 = noise(*size)
    resize = SHIPPED.region(*size)
    assert isinstance(resize, Resize)
    view_3SS = resize_pixels(pixels_HW3, resize, (False, ()))
    assert view_3SS is not None and np.array_equal(view_3SS, views(pixels_HW3.transpose(2, 0, 1), SHIPPED)[0])


@pytest.mark.parametrize("spec", [SMALL, Preprocess(mode="resize", size=150, short_side=150)])
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_view_resized_while_a_jpeg_is_decoded_is_to_the_bit_that_of_the_whole(name: str, spec: Preprocess) -> None:
    assert np.array_equal(view_of(ENCODINGS[name], spec, whole=False), view_of(ENCODINGS[name], spec, whole=True))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [(75, 98), (150, 98), (64, 200), (45, 40), (20, 24)])
def test_a_resized_view_is_the_same_however_the_image_is_stored(form: str, turn: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    out = io.BytesIO()
    Image.fromarray(noise(*size)).save(out, form, exif=exif)
    assert np.array_equal(view_of(out.getvalue(), SMALL, whole=False), view_of(out.getvalue(), SMALL, whole=True))


def test_without_what_was_built_the_resized_views_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = view_of(ENCODINGS["4:420"], SMALL, whole=False)
    monkeypatch.setattr(cropped, "_LIBRARY", None)
    monkeypatch.setattr(cropped, "IS_BUILT", False)
    assert np.array_equal(quick, view_of(ENCODINGS["4:420"], SMALL, whole=False))


@needs_built
def test_a_processor_without_avx2_gives_the_same_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    sources = [Path(cropped.__file__).with_name(name) for name in ("cropped.c", "resized.c", "weights.c")]
    plain = tmp_path / "plain.so"
    flags = ["-O2", "-std=c99", "-DPLAIN", "-fPIC", "-shared"]
    subprocess.run([compiler, *flags, *map(str, sources), "-o", str(plain), "-ljpeg", "-lm"], check=True)
    specs = [SMALL, Preprocess(mode="resize", size=150, short_side=150)]
    quick = [view_of(ENCODINGS["4:420"], spec, whole=False).tobytes() for spec in specs]
    monkeypatch.setattr(cropped, "_LIBRARY", ctypes.CDLL(str(plain)))
    assert [view_of(ENCODINGS["4:420"], spec, whole=False).tobytes() for spec in specs] == quick


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("end", [b"", cropped.END_MARKER])
def test_a_cut_file_has_the_same_fault_whether_its_view_is_resized_or_not(share: float, end: bytes) -> None:
    data = jpeg(noise())
    cut = data[: int(share * len(data))] + end
    fault = decode(cut, BOUNDS, SMALL.region)
    assert isinstance(fault, Fault) and fault == decode(cut, BOUNDS)


@needs_built
def test_a_large_jpeg_is_resized_without_holding_it() -> None:
    data = simplejpeg.encode_jpeg(np.zeros((4000, 4000, 3), np.uint8), 85, "RGB", "420")
    tracemalloc.start()
    view_of(data, SHIPPED, whole=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 << 20, "the whole takes 48 MB"


@needs_built
@given(edits=st.lists(st.tuples(st.integers(2, 20_000), st.integers(0, 255)), max_size=8))
def test_no_bytes_whatever_end_the_process_that_resizes_them(edits: list[tuple[int, int]]) -> None:
    data = bytearray(ENCODINGS["progressive"])
    for place, value in edits:
        data[place % (len(data) - 2)] = value
    decode(bytes(data), BOUNDS, SMALL.region)


def test_a_view_that_is_cut_from_a_larger_resize_or_from_a_strip_wants_the_whole_image() -> None:
    assert Preprocess(mode="resize", size=224, short_side=256).region(600, 800) is None
    assert SHIPPED.region(20, 400) is None and SHIPPED.region(25, 400) is not None
