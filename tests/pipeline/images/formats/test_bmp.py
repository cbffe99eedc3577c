"""Laws of BMP: run lengths are bounded, an unread header is told from a cut one."""

import struct

import numpy as np
import pytest

from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.records import Status
from tests.imagefiles import saved, scene

BOUNDS = Bounds(1 << 26, 100_000_000)


def bitmap(wide: int, high: int, *, bits: int = 8, packing: int = 1, header: int = 40, body: bytes = b"\0\1") -> bytes:
    head = struct.pack("<IiiHHIIiiII", header, wide, high, 1, bits, packing, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + head + bytes(range(256)) * 4 + body


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_every_depth_is_shown(mode: str) -> None:
    found = decode(saved(scene(mode), "BMP"), BOUNDS)
    assert isinstance(found, Picture)
    assert (found.pixels_3HW.transpose(1, 2, 0) == np.asarray(scene(mode).convert("RGB"))).all()


def test_a_reserved_field_that_is_not_zero_does_no_harm() -> None:
    data = saved(scene(), "BMP")
    assert isinstance(decode(data[:6] + b"abcd" + data[10:], BOUNDS), Picture)


def test_run_lengths_are_read_where_they_are_few_and_refused_where_they_are_many() -> None:
    assert isinstance(decode(bitmap(64, 64, body=b"\x40\7\0\0" * 64 + b"\0\1"), BOUNDS), Picture)
    for data in (bitmap(9_000, 9_000), bitmap(64, 64, body=b"\1\7" * (3 << 20))):
        found = decode(data, BOUNDS)
        assert isinstance(found, Fault) and found.status == Status.TOO_LARGE and "run-length" in found.detail


@pytest.mark.parametrize("data", [bitmap(64, 64, packing=4), bitmap(64, 64, bits=64), bitmap(64, 64, header=16)])
def test_a_kind_that_nothing_reads_is_unsupported(data: bytes) -> None:
    found = decode(data, BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.UNSUPPORTED


@pytest.mark.parametrize("wide", [-5, 2**31 - 1])
def test_a_side_that_cannot_be_is_too_large(wide: int) -> None:
    found = decode(bitmap(wide, 64, packing=0), BOUNDS)
    assert isinstance(found, Fault) and found.status in (Status.TOO_LARGE, Status.TOO_SMALL)


def test_a_cut_header_is_truncated() -> None:
    found = decode(saved(scene(), "BMP")[:30], BOUNDS)
    assert isinstance(found, Fault) and found.status == Status.TRUNCATED
