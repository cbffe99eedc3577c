"""Laws of JPEG: what nothing reads is told from what is cut, and scans are counted before they are decoded."""

import time

import numpy as np
import pytest
from PIL import Image

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats.jpeg import MAX_SEGMENTS, inspect
from pipeline.images.formats.layout import RefusalError
from pipeline.records import Status
from tests.imagefiles import HEIGHT, WIDTH, empty_scans, saved, scene, segment

BOUNDS = Bounds(1 << 26, 100_000_000)
SOUND = saved(scene(), "JPEG", quality=90)
FRAME = SOUND.index(b"\xff\xc0")


def altered(at: int, value: int) -> bytes:
    return SOUND[:at] + bytes([value]) + SOUND[at + 1 :]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (altered(FRAME + 4, 12), "12-bit"),
        (altered(FRAME + 9, 2), "2 components"),
        (altered(FRAME + 1, 0xC5), "hierarchical"),
        (SOUND[:FRAME] + b"\xff\xf7" + SOUND[FRAME + 2 :], "JPEG-LS"),
        (SOUND[: FRAME + 5] + b"\0\0" + SOUND[FRAME + 7 :], "DNL"),
    ],
)
def test_a_sound_file_of_an_unread_process_is_unsupported_with_its_kind(data: bytes, kind: str) -> None:
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.UNSUPPORTED
    assert kind in found.detail


def test_hundreds_of_scans_are_refused_before_they_cost_anything() -> None:
    data = empty_scans(4_000, 300)
    start = time.process_time()
    found = decode(data, BOUNDS)
    assert time.process_time() - start < 0.5
    assert isinstance(found, Fault) and found.status == Status.TOO_LARGE
    assert "4,000 x 4,000 pixels in 76 scans or more" in found.detail and found.width == 4_000


def test_as_many_scans_are_decoded_where_the_pixels_are_few() -> None:
    assert isinstance(decode(empty_scans(64, 883), BOUNDS), Picture)


def test_scans_are_counted_behind_a_comment_that_looks_like_an_end() -> None:
    data = empty_scans(4_000, 300)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    with pytest.raises(RefusalError, match="in 76 scans"):
        inspect(data[:second] + segment(0xFE, b"\xff\xd9" * 9) + data[second:])


def test_a_thumbnail_or_second_image_adds_no_scan() -> None:
    inner = empty_scans(4_000, 300)[:60_000]
    assert inspect(SOUND[:2] + segment(0xE1, inner) + SOUND[2:]).passes == 1
    assert inspect(SOUND + inner).passes == 1


@pytest.mark.parametrize("before", [b"\xff\xfe\0\2" * (MAX_SEGMENTS + 1), b"\xff" * 70_000, b"\0" * 70_000])
def test_what_stands_before_the_picture_is_bounded(before: bytes) -> None:
    with pytest.raises(RefusalError) as refused:
        inspect(SOUND[:2] + before + SOUND[2:])
    assert refused.value.status == Status.TOO_LARGE


@pytest.mark.parametrize("fill", [b"\xff" * 3, b"\xff\xfe\0\5abc", b"\xff\xfe\0\5abc\0\0"])
def test_fill_and_comments_do_no_harm(fill: bytes) -> None:
    assert isinstance(decode(SOUND[:2] + fill + SOUND[2:], BOUNDS), Picture)


def test_a_picture_that_lost_pixels_is_truncated_with_libjpegs_words() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    data = saved(noise, "JPEG", restart_marker_blocks=4)
    middle = len(data) // 2
    restart = next(at for at in range(middle, len(data)) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7)
    for broken in (data[:middle] + b"\xff\xd9", data[: restart + 1] + b"\xd9" + data[restart + 2 :]):
        found = decode(broken, BOUNDS)
        assert isinstance(found, Fault) and found.status == Status.TRUNCATED
        assert "premature end" in found.detail or "instead of RST" in found.detail


@pytest.mark.parametrize("data", [SOUND[:-2], SOUND + b"trailing" * 100, SOUND[:-2] + bytes(9) + b"\xff\xd9"])
def test_a_missing_end_and_bytes_too_many_cost_no_pixel(data: bytes) -> None:
    found, sound = decode(data, BOUNDS), decode(SOUND, BOUNDS)
    assert isinstance(found, Picture) and isinstance(sound, Picture)
    assert np.abs(found.pixels_3HW.astype(int) - sound.pixels_3HW).max() <= 1


def test_of_two_images_the_first_is_decoded() -> None:
    found = decode(saved(scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 48))]), BOUNDS)
    assert isinstance(found, Picture) and (found.format, found.width, found.height) == ("jpeg", WIDTH, HEIGHT)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_is_no_negative_whether_or_not_adobe_signed_it(adobe: bool) -> None:
    data = saved(scene("CMYK"), "JPEG", quality=95)
    mark = data.index(b"\xff\xee")
    found = decode(data if adobe else data[:mark] + data[mark + 16 :], BOUNDS)
    assert isinstance(found, Picture)
    assert np.abs(found.pixels_3HW.transpose(1, 2, 0).astype(int) - np.asarray(scene())).mean() < 3
