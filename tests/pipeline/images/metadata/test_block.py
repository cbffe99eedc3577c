"""Laws of block: what is too large is cut or left, and the bounds can be met together."""

from pipeline.images.metadata.block import (
    MAX_BLOCK_BYTES,
    MAX_FILE_BYTES,
    MAX_STORE_BYTES,
    MAX_TEXT_BYTES,
    MAX_XMP_BYTES,
    Block,
    c2pa_block,
    xmp_block,
)


def test_a_packet_is_cut_and_a_store_is_whole_or_nothing() -> None:
    assert xmp_block(b"a" * (MAX_XMP_BYTES + 1)) == Block("xmp", "", b"a" * MAX_XMP_BYTES)
    assert c2pa_block(b"a" * MAX_STORE_BYTES) == Block("c2pa", "", b"a" * MAX_STORE_BYTES)
    assert c2pa_block(b"a" * (MAX_STORE_BYTES + 1)) == Block("c2pa", "", b"")


def test_the_largest_of_each_kind_fits_into_a_file() -> None:
    assert max(MAX_BLOCK_BYTES, MAX_TEXT_BYTES, MAX_XMP_BYTES) <= MAX_FILE_BYTES
