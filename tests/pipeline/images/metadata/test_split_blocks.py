"""Split blocks: parts join in the order of their offsets, and only packets that the main packet names are read."""

import struct

from pipeline.images.metadata.block import MAX_STORE_BYTES
from pipeline.images.metadata.split_blocks import ExtendedXmp, JumbfParts

DIGEST = b"0123456789ABCDEF0123456789ABCDEF"


def part(data: bytes, offset: int, total: int) -> bytes:
    """Make the body of one segment of an extended packet."""
    return DIGEST + struct.pack(">II", total, offset) + data


def test_parts_in_any_order_are_one_packet_if_the_main_packet_names_it() -> None:
    extended = ExtendedXmp()
    for offset, data in ((3, b"def"), (0, b"abc"), (7, b"never reached")):
        extended.add(part(data, offset, 9))
    assert [block.data for block in extended.joined(b"xmpNote:HasExtendedXMP=" + DIGEST)] == [b"abcdef"]
    assert list(extended.joined(b"another digest")) == []


def test_a_store_in_two_segments_is_one_and_a_cut_one_is_empty() -> None:
    store = struct.pack(">I4s", 40, b"jumb") + b"c2pa" + bytes(28)
    whole, cut = JumbfParts(), JumbfParts()
    header = b"JP\x00\x01" + struct.pack(">I", 1)
    whole.add(header + store[:20])
    whole.add(b"JP\x00\x01" + struct.pack(">I", 2) + store[:8] + store[20:])
    cut.add(header + store[:20])
    assert [block.data for block in whole.joined()] == [store]
    assert [block.data for block in cut.joined()] == [b""]


def test_a_store_over_its_bound_is_not_kept() -> None:
    parts = JumbfParts()
    parts.add(b"JP\x00\x01" + struct.pack(">I", 1) + bytes(MAX_STORE_BYTES + (1 << 18)))
    assert list(parts.joined()) == []
