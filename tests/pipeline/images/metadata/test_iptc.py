"""Laws of iptc: data sets are found raw, among Photoshop's resources and turned round, and broken ones end."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.metadata.block import Block
from pipeline.images.metadata.iptc import datasets, resources
from tests.declaring import iim, resource

SETS = iim((80, b"A. Photographer"), (110, "Fábrica".encode()))


def test_data_sets_are_numbers_and_texts() -> None:
    assert list(datasets(SETS)) == [(80, "A. Photographer"), (110, "Fábrica")]
    assert list(datasets(iim((80, "Fábrica".encode("latin-1"))))) == [(80, "Fábrica")]


def test_other_records_are_passed_over_and_a_long_set_is_read() -> None:
    charset = b"\x1c\x01\x5a\x00\x03\x1b%G"
    long = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 70_000) + b"a" * 70_000
    assert next(datasets(charset + long + SETS)) == (120, "a" * 70_000)


def test_resources_give_iptc_exif_and_xmp() -> None:
    named = b"8BIM\x04\x04\x04name\0" + struct.pack(">I", len(SETS)) + SETS
    data = resource(1005, b"dpi") + resource(0x0404, SETS) + resource(0x0422, b"II*\0") + resource(0x0424, b"<a/>")
    assert list(resources(b"Photoshop 3.0\0" + data)) == [
        Block("iptc", "", SETS),
        Block("exif", "", b"II*\0"),
        Block("xmp", "", b"<a/>"),
    ]
    assert list(resources(named)) == [Block("iptc", "", SETS)]


def test_data_sets_may_lie_bare_and_turned_round_as_a_tiffs_numbers() -> None:
    padded = SETS + b"\0" * (-len(SETS) % 4)
    turned = b"".join(padded[at : at + 4][::-1] for at in range(0, len(padded), 4))
    assert list(resources(SETS)) == [Block("iptc", "", SETS)]
    assert list(resources(turned)) == [Block("iptc", "", padded)]
    assert list(resources(b"neither")) == []


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_no_bytes_whatever_raise(data: bytes, tail: bytes) -> None:
    for block in [*resources(b"8BIM\x04\x04" + data), *resources(data), Block("iptc", "", SETS[:9] + tail)]:
        assert all(isinstance(said, str) for _, said in datasets(block.data))
