"""Laws of a thumbnail: small, and made where nothing can be harmed."""

import base64
import io
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from pipeline.images.thumbnail import SIDE, thumbnail
from tests.pictures import picture
from tests.poison import MARK, poisoned

SHOW = "import sys; from pipeline.images.thumbnail import thumbnail; print(thumbnail(sys.stdin.buffer.read()).why)"


def test_an_image_becomes_a_small_jpeg_and_a_small_one_is_not_blown_up() -> None:
    made = thumbnail(picture(1, side=700))
    image = Image.open(io.BytesIO(base64.b64decode(made.data.partition(",")[2])))
    assert made.data.startswith("data:image/jpeg;base64,") and not made.why
    assert image.format == "JPEG" and image.size == (made.width, made.height) and max(image.size) == SIDE
    assert thumbnail(picture(7, side=40)).height == 40


def test_bytes_that_are_no_image_say_why() -> None:
    cut = picture(1)
    assert thumbnail(b"<html>").why.startswith("not shown: no image format")
    assert thumbnail(cut[: len(cut) // 2]).why.startswith("not shown: ") and not thumbnail(b"").data


def test_an_image_that_ends_its_decoder_is_told_and_ends_nothing_else(root: Path, tmp_path: Path) -> None:
    paths = os.pathsep.join([poisoned(tmp_path / "poison"), str(root)])
    run = subprocess.run(
        [sys.executable, "-c", SHOW],
        input=picture(1) + MARK,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode().startswith("not shown: its decoder crashed")
