"""Laws of GIF: the first image alone, whatever stands before and behind it."""

import numpy as np
import pytest

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats import gif as module
from pipeline.images.formats.gif import inspect
from pipeline.images.formats.layout import RefusalError
from pipeline.records import Status
from tests.imagefiles import saved, scene

BOUNDS = Bounds(1 << 26, 100_000_000)
SOUND = saved(scene(), "GIF", transparency=3)
HEAD = 13 + (3 << (SOUND[10] & 7) + 1)


def pixels(data: bytes) -> np.ndarray:
    found = decode(data, BOUNDS)
    assert isinstance(found, Picture), found
    return found.pixels_3HW


@pytest.mark.parametrize(
    "before",
    [b"!\xfe" + b"\1x" * 9_000 + b"\0", b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", b"!\1\x0c" + bytes(12) + b"\0", b"\0\0"],
)
def test_extensions_before_the_image_are_left_out(before: bytes) -> None:
    data = SOUND[:HEAD] + before + SOUND[HEAD:]
    assert (pixels(data) == pixels(SOUND)).all()
    assert len(inspect(data).data) <= len(SOUND)


def test_a_disposal_of_what_is_never_shown_makes_no_room() -> None:
    control = SOUND.index(b"!\xf9\4")
    data = SOUND[: control + 3] + bytes([SOUND[control + 3] | 0b1000]) + SOUND[control + 4 :]
    assert (pixels(data) == pixels(SOUND)).all()
    assert inspect(data).data == inspect(SOUND).data


def test_a_frame_that_is_larger_than_its_screen_is_bounded_before_it_is_opened() -> None:
    image = SOUND.index(b",\0\0\0\0")
    data = SOUND[: image + 5] + b"\xff\xff\xff\xff" + SOUND[image + 9 :]
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault) and (found.status, found.width) == (Status.TOO_LARGE, 65535)


def test_blocks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BLOCKS", 500)
    for before in (b"!\xfe" + b"\1x" * 600 + b"\0", b"!\xfe\0" * 600, bytes(600)):
        with pytest.raises(RefusalError, match="500 blocks"):
            inspect(SOUND[:HEAD] + before + SOUND[HEAD:])


@pytest.mark.parametrize("data", [SOUND[:9], SOUND[:HEAD], SOUND[:HEAD] + b";", SOUND[: HEAD + 12]])
def test_a_file_without_an_image_is_truncated(data: bytes) -> None:
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TRUNCATED
