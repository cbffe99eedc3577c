"""Laws of JPEG 2000: what its code blocks, tiles and packets cost is counted from its markers."""

import struct
from typing import Any

import pytest

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.images.formats.jp2 import inspect
from pipeline.records import Status
from tests.imagefiles import HEIGHT, WIDTH, saved, scene

BOUNDS = Bounds(1 << 26, 100_000_000)
SOUND = saved(scene(), "JPEG2000", no_jp2=True)
SIZ, COD = SOUND.index(b"\xff\x51"), SOUND.index(b"\xff\x52")


def put(form: str, at: int, *values: int, data: bytes = SOUND) -> bytes:
    held = bytearray(data)
    struct.pack_into(form, held, at, *values)
    return bytes(held)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("options", [{}, {"tile_size": (32, 32)}, {"no_jp2": True}, {"precinct_size": (64, 64)}])
def test_a_sound_file_is_measured_and_decoded(mode: str, options: dict[str, Any]) -> None:
    data = saved(scene(mode), "JPEG2000", **options)
    assert inspect(data).size == (WIDTH, HEIGHT)
    assert isinstance(decode(data, BOUNDS), Picture)


def large(*, tile: int = 4_000, wide: int = 4, high: int = 4, layers: int = 1, precinct: int | None = None) -> bytes:
    data = put(">II", SIZ + 6, 4_000, 4_000, data=put(">II", SIZ + 22, tile, tile))
    data = put(">H", COD + 6, layers, data=put(">BB", COD + 10, wide, high, data=data))
    return data if precinct is None else _with_precincts(data, precinct)


def _with_precincts(data: bytes, exponents: int) -> bytes:
    levels = data[COD + 9]
    body = bytes([1]) + data[COD + 5 : COD + 14] + bytes([exponents]) * (levels + 1)
    return data[: COD + 2] + struct.pack(">H", len(body) + 2) + body + data[COD + 14 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (large(tile=8), "tiles"),
        (large(wide=0, high=0), "code blocks"),
        (large(precinct=0x11), "code blocks"),
        (large(precinct=0x55, layers=65_535), "packets"),
        (put(">II", SIZ + 6, 6_000, 6_000), "25,000,000"),
    ],
)
def test_much_work_in_few_bytes_is_refused(data: bytes, reason: str) -> None:
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TOO_LARGE, found
    assert reason in found.detail


def test_a_tile_part_that_brings_its_own_style_is_looked_into() -> None:
    part = SOUND.index(b"\xff\x90")
    style = put(">BB", COD + 10, 0, 0)[COD : COD + 14]
    data = put(">II", SIZ + 6, 4_000, 4_000, data=put(">II", SIZ + 22, 4_000, 4_000))
    data = put(">I", part + 6, int.from_bytes(SOUND[part + 6 : part + 10]) + len(style), data=data)
    found = decode(data[: part + 12] + style + data[part + 12 :], BOUNDS)
    assert isinstance(found, Fault) and "code blocks" in found.detail, found


def test_five_components_are_no_picture() -> None:
    found = decode(put(">H", SIZ + 38, 5), BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.UNSUPPORTED and "5 components" in found.detail


@pytest.mark.parametrize("length", [6, 30, 60])
def test_a_cut_header_is_truncated(length: int) -> None:
    found = decode(SOUND[:length], BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TRUNCATED
