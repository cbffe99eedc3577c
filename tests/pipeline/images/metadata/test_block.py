"""Laws of block: what is too large is cut or left, and the bounds can be met together."""

from pipeline.images.metadata.block import (
    MOST_BLOCK_BYTES,
    MOST_FILE_BYTES,
    MOST_STORE_BYTES,
    MOST_TEXT_BYTES,
    MOST_XMP_BYTES,
    Block,
    packet,
    store,
)


def test_a_packet_is_cut_and_a_store_is_whole_or_nothing() -> None:
    assert packet(b"a" * (MOST_XMP_BYTES + 1)) == Block("xmp", "", b"a" * MOST_XMP_BYTES)
    assert store(b"a" * MOST_STORE_BYTES) == Block("c2pa", "", b"a" * MOST_STORE_BYTES)
    assert store(b"a" * (MOST_STORE_BYTES + 1)) == Block("c2pa", "", b"")


def test_the_largest_of_each_kind_fits_into_a_file() -> None:
    assert max(MOST_BLOCK_BYTES, MOST_TEXT_BYTES, MOST_XMP_BYTES) <= MOST_FILE_BYTES
