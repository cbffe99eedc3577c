"""Laws of boxes: an item is found by its table of places, wherever it lies and in however many pieces."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.metadata.block import MAX_BLOCK_BYTES, Block
from pipeline.images.metadata.boxes import metadata, walk
from tests.declaring import avif, box, exif, xmp

EXIF = exif({0x010F: "Acme"})
XMP = xmp("<xmp:CreatorTool>A</xmp:CreatorTool>")
MIME = b"mimename\0application/rdf+xml\0"


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("inside", [False, True])
def test_items_are_found_in_every_version_of_the_table(version: int, inside: bool) -> None:
    if inside and version == 0:
        return  # which knows no `idat`
    data = avif([(b"av01", b"pixels"), (b"Exif", b"\0\0\0\0" + EXIF), (MIME, XMP)], version=version, inside=inside)
    assert list(metadata(data)) == [Block("exif", "", EXIF), Block("xmp", "", XMP)]


@pytest.mark.parametrize(
    "head", [b"\0\0\0\0", b"\0\0\0\6Exif\0\0", b"\0\0\0\0Exif\0\0", b"", b"\0\0\xff\0", b"\0\0\0\2ab"]
)
def test_exif_is_found_behind_every_offset_that_writers_write(head: bytes) -> None:
    assert list(metadata(avif([(b"Exif", head + EXIF)]))) == [Block("exif", "", EXIF)]


def test_an_item_that_is_no_exif_is_none() -> None:
    assert list(metadata(avif([(b"Exif", b"\0\0\0\0rubbish"), (b"mimea\0text/plain\0", XMP)]))) == []


def test_jpeg_2000_and_jpeg_xl_keep_theirs_in_boxes() -> None:
    jp2 = box(b"jP  ", b"\r\n\x87\n") + box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), XMP)
    jp2 += box(b"uuid", b"JpgTiffExif->JP2", EXIF) + box(b"uuid", b"some other thing", b"abc")
    assert list(metadata(jp2)) == [Block("xmp", "", XMP), Block("exif", "", EXIF)]
    jxl = box(b"JXL ", b"\r\n\x87\n") + box(b"Exif", b"\0\0\0\0", EXIF) + box(b"xml ", XMP)
    assert list(metadata(jxl)) == [Block("exif", "", EXIF), Block("xmp", "", XMP)]


def test_a_manifest_store_is_found_in_its_uuid_box() -> None:
    c2pa = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + b"\0" * 8 + b"the store"
    assert list(metadata(box(b"uuid", c2pa))) == [Block("c2pa", "", b"the store")]


def test_lengths_are_long_open_or_wrong_and_end_within_the_file() -> None:
    long = struct.pack(">I4sQ", 1, b"abcd", 18) + b"xy"
    last = b"\0\0\0\0last" + b"z"
    assert [(found.kind, found.body, found.end) for found in walk(long + last, 0, 27)] == [
        (b"abcd", 16, 18),
        (b"last", 26, 27),
    ]
    assert list(walk(b"\0\0\0\7abcd", 0, 8)) == []
    assert [found.end for found in walk(b"\xff\xff\xff\xffabcd", 0, 8)] == [8]


def test_pieces_that_all_lie_in_one_place_are_joined_up_to_the_bound() -> None:
    places = struct.pack(">HHHH", 1, 0, 0, 1_000) + struct.pack(">HH", 0, 0xFFFF) * 1_000
    iloc = box(b"iloc", b"\1\0\0\0\x22\0", struct.pack(">H", 1), places)
    infe = box(b"infe", b"\2\0\0\0\0\1\0\0" + MIME)
    data = box(b"meta", b"\0\0\0\0", box(b"iinf", b"\0\0\0\0\0\1", infe), iloc) + b" " * 70_000
    (found,) = metadata(data)
    assert len(found.data) <= MAX_BLOCK_BYTES


@settings(max_examples=300, deadline=None, derandomize=True)
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8), end=st.integers(0, 900))
def test_no_bytes_whatever_raise(edits: list[tuple[int, int]], end: int) -> None:
    data = bytearray(avif([(b"Exif", b"\0\0\0\0" + EXIF), (MIME, XMP)], inside=True))
    for at, value in edits:
        data[at % len(data)] = value
    for block in metadata(bytes(data[:end])):
        assert len(block.data) <= len(data) * 2
