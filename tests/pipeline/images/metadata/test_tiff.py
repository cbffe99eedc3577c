"""Laws of tiff: a field is found in either order and size of numbers, and no count in a block is believed."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.images.metadata.tiff import MAX_ENTRIES, Fields, fields
from tests.declaring import exif, tiff

MAKE, SOFTWARE, COMMENT = 0x010F, 0x0131, 0x9286


def test_fields_of_both_directories_are_found_and_others_are_not_copied() -> None:
    data = exif({MAKE: "Acme", SOFTWARE: "a program"}, b"ASCII\0\0\0hello")
    assert fields(data, (MAKE, COMMENT), 100) == Fields("little", {MAKE: b"Acme\0", COMMENT: b"ASCII\0\0\0hello"})


@pytest.mark.parametrize("mark", ["<", ">"])
def test_what_pillow_writes_is_read_in_both_orders(mark: str) -> None:
    written = Image.Exif()
    written.endian = mark
    written[MAKE] = "Acme"
    written.get_ifd(0x8769)[COMMENT] = b"ASCII\0\0\0hello"
    order, values = fields(written.tobytes().removeprefix(b"Exif\0\0"), (MAKE, COMMENT), 100)
    assert order == {"<": "little", ">": "big"}[mark]
    assert values == {MAKE: b"Acme\0", COMMENT: b"ASCII\0\0\0hello"}


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_is_read(order: str) -> None:
    mark = b"II+\0" if order == "<" else b"MM\0+"
    data = mark + struct.pack(order + "HHQ", 8, 0, 16) + struct.pack(order + "QHHQQ", 1, MAKE, 2, 12, 44)
    assert fields(data + b"Acme Cameras", (MAKE,), 100).values == {MAKE: b"Acme Cameras"}


def test_a_value_is_cut_to_the_bound_and_to_the_file() -> None:
    data = exif({MAKE: b"a" * 5_000})
    assert fields(data, (MAKE,), 100).values == {MAKE: b"a" * 100}
    assert fields(data[:1_000], (MAKE,), 5_000).values == {MAKE: data[26:1_000]}


def test_a_directory_of_entries_that_all_point_to_the_whole_block_copies_nothing_unasked() -> None:
    entry = struct.pack("<HHII", 0xE000, 7, 1 << 20, 8)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + entry * 65_535 + b"a" * (1 << 20)
    assert fields(data, (MAKE,), 1 << 18).values == {}


def test_entries_beyond_the_bound_are_not_read() -> None:
    values = [(0xE000, 1, b"a")] * MAX_ENTRIES
    head = tiff([*values, (0xF000, 1, b"b")])
    assert fields(head, (0xF000,), 10).values == {}
    assert fields(tiff([*values[1:], (0xF000, 1, b"b")]), (0xF000,), 10).values == {0xF000: b"b"}


def test_directories_that_name_each_other_end() -> None:
    data = bytearray(exif({}, b"ASCII\0\0\0hello"))
    at = data.index(struct.pack("<H", 0x8769))
    data[at + 8 : at + 12] = struct.pack("<I", int.from_bytes(data[4:8], "little"))
    assert fields(bytes(data), (COMMENT,), 10).values == {}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(edits=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=8), end=st.integers(0, 90))
def test_no_bytes_whatever_raise(edits: list[tuple[int, int]], end: int) -> None:
    data = bytearray(exif({MAKE: "Acme", SOFTWARE: "a program"}, b"ASCII\0\0\0hello"))
    for at, value in edits:
        data[at % len(data)] = value
    found = fields(bytes(data[:end]), (MAKE, SOFTWARE, COMMENT), 50)
    assert all(len(kept) <= 50 for kept in found.values.values())
