"""Laws of orientation: EXIF tells, else XMP, and a broken block turns nothing and costs nothing."""

import struct
import time

import pytest
from PIL import Image

from pipeline.images.formats.orientation import orientation


def exif(turn: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = turn
    return block.tobytes()


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_tells_with_or_without_its_mark(turn: int) -> None:
    assert orientation({"exif": exif(turn)}) == turn
    assert orientation({"exif": exif(turn).removeprefix(b"Exif\0\0")}) == turn


@pytest.mark.parametrize("packet", [b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"])
def test_xmp_tells_where_exif_does_not(packet: bytes) -> None:
    assert orientation({"xmp": packet}) == 6
    assert orientation({"xmp": packet, "exif": exif(3)}) == 3


@pytest.mark.parametrize(
    "block",
    [b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", exif(9), exif(0), b"MM\0*\0\0\0\x08\xff\xff" + bytes(90)],
)
def test_a_broken_block_turns_nothing(block: bytes) -> None:
    assert orientation({"exif": block}) == 1


def test_a_block_that_names_the_same_bytes_over_and_over_costs_no_time() -> None:
    entries = b"".join(struct.pack(">HHII", 0x9000 + n, 7, 60_000, 8) for n in range(5_000))
    block = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 5_000) + entries + bytes(4)
    start = time.process_time()
    assert orientation({"exif": block}) == 1
    assert time.process_time() - start < 0.5
