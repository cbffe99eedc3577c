"""Laws of container: metadata is found where each format keeps it, and no length in a file is believed beyond it."""

import hashlib
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.images.container import blocks
from pipeline.images.metadata.block import (
    MAX_BLOCKS,
    MAX_COMPRESSED_TEXTS,
    MAX_FILE_BYTES,
    MAX_TEXT_BYTES,
    MAX_XMP_BYTES,
    Block,
)
from tests.declaring import (
    avif,
    box,
    chunk,
    exif,
    gif,
    iim,
    jpeg,
    png,
    resource,
    saved,
    segment,
    sub_blocks,
    texts,
    tiff,
    webp,
    xmp,
)

FORMATS = ("jpeg", "png", "webp", "tiff", "avif")
PACKET = xmp("<xmp:CreatorTool>A</xmp:CreatorTool>")
FIELDS = exif({0x0131: "a program"})
MARKED = b"Exif\0\0" + FIELDS
NAMED = b"http://ns.adobe.com/xap/1.0/\0" + PACKET
EXIF, XMP = Block("exif", "", FIELDS), Block("xmp", "", PACKET)


def found(data: bytes, format_: str) -> list[Block]:
    return list(blocks(data, format_))


def kinds(data: bytes, format_: str) -> list[str]:
    return [block.kind for block in blocks(data, format_)]


@pytest.mark.parametrize("format_", FORMATS)
def test_exif_that_pillow_writes_is_found_in_every_format_and_reads(format_: str) -> None:
    written = Image.Exif()
    written[0x0131] = "a program"
    (block,) = [block for block in blocks(saved(format_, exif=written), format_) if block.kind == "exif"]
    read = Image.Exif()
    read.load(block.data)
    assert read[0x0131] == "a program"


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_xmp_that_pillow_writes_is_found(format_: str) -> None:
    assert found(saved(format_, xmp=PACKET), format_) == [XMP]


@pytest.mark.parametrize(
    "between", [b"", b"\xff" * 9, b"\0\0\0", b"\xff\x01", b"rubbish"], ids=["none", "fill", "zeros", "alone", "stray"]
)
def test_what_lies_between_a_jpegs_segments_hides_none(between: bytes) -> None:
    parts = [segment(0xE0, b"JFIF\0"), segment(0xE1, MARKED), segment(0xE1, NAMED)]
    assert found(jpeg(*(between + part for part in parts)), "jpeg") == [EXIF, XMP]


def test_an_extended_packet_is_joined_if_the_main_one_names_it() -> None:
    more = xmp("<xmp:CreatorTool>more</xmp:CreatorTool>")
    digest = hashlib.md5(more, usedforsecurity=False).hexdigest().upper().encode()
    main = PACKET.replace(b"<rdf:RDF>", b"<rdf:RDF note='" + digest + b"'>")
    parts = [
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0" + digest + struct.pack(">II", len(more), at) + more[at : at + 99],
        )
        for at in range(0, len(more), 99)
    ]
    name = b"http://ns.adobe.com/xap/1.0/\0"
    assert found(jpeg(segment(0xE1, name + main), *reversed(parts)), "jpeg")[1:] == [Block("xmp", "", more)]
    assert found(jpeg(segment(0xE1, NAMED), *parts), "jpeg") == [XMP]


def test_iptc_is_joined_from_a_jpegs_segments() -> None:
    sets = iim((80, b"A. Photographer"))
    body = resource(0x0404, sets)
    mark = b"Photoshop 3.0\0"
    data = jpeg(segment(0xED, mark + body[:11]), segment(0xED, mark + body[11:]), segment(0xFE, b"a comment"))
    assert found(data, "jpeg") == [Block("text", "Comment", b"a comment"), Block("iptc", "", sets)]


def test_a_manifest_store_is_joined_from_a_jpegs_segments() -> None:
    whole = box(b"jumb", box(b"jumd", b"c2pa" + bytes(12) + b"\3c2pa\0"), b"x" * 100)
    head = b"JP\0\1" + struct.pack(">I", 1)
    rest = b"JP\0\1" + struct.pack(">I", 2) + whole[:8]
    assert found(jpeg(segment(0xEB, head + whole[:60]), segment(0xEB, rest + whole[60:])), "jpeg") == [
        Block("c2pa", "", whole)
    ]
    assert found(jpeg(segment(0xEB, head + whole[:60])), "jpeg") == [Block("c2pa", "", b"")]
    assert found(jpeg(segment(0xEB, head + box(b"jumb", b"a 360 degree view"))), "jpeg") == []


@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_png_text_is_utf8(packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Fäb", zip=packed)
    info.add_itxt("Title", "猫", zip=packed)
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=packed)
    assert found(saved("PNG", pnginfo=info), "png") == [
        Block("text", "Software", "Fäb".encode()),
        Block("text", "Title", "猫".encode()),
        XMP,
    ]


def test_utf8_in_a_latin1_text_of_a_png_is_left_as_it_is() -> None:
    assert found(png(chunk(b"tEXt", b"Title\0" + "猫".encode())), "png") == [Block("text", "Title", "猫".encode())]


def test_texts_exif_and_comfyuis_chunks_are_found_behind_the_pixels() -> None:
    data = png(chunk(b"comf", b"prompt\0{}"), chunk(b"eXIf", FIELDS), chunk(b"tEXt", b"Software\0late"))
    assert found(data, "png") == [Block("text", "prompt", b"{}"), EXIF, Block("text", "Software", b"late")]


@pytest.mark.parametrize(
    ("name", "body", "block"),
    [
        ("exif", MARKED, EXIF),
        ("APP1", MARKED, EXIF),
        ("exif", FIELDS, EXIF),
        ("xmp", PACKET, XMP),
        ("APP1", NAMED, XMP),
        ("iptc", resource(0x0404, iim((80, b"me"))), Block("iptc", "", iim((80, b"me")))),
        ("8bim", resource(0x0404, iim((80, b"me"))), Block("iptc", "", iim((80, b"me")))),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_raw_profile_of_imagemagick_is_what_it_holds(name: str, body: bytes, block: Block, packed: bool) -> None:
    digits = body.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{name}\n{len(body):8}\n{lines}\n".encode()
    keyword = f"Raw profile type {name}".encode() + b"\0"
    part = chunk(b"zTXt", keyword + b"\0" + zlib.compress(text)) if packed else chunk(b"tEXt", keyword + text)
    assert found(png(part), "png") == [block]


@pytest.mark.parametrize("text", [b"", b"\nexif\n  4\nzz", b"no profile", b"\nicc\n 2\nabcd"])
def test_a_raw_profile_that_is_none_is_none(text: bytes) -> None:
    assert found(png(chunk(b"tEXt", b"Raw profile type icc\0" + text)), "png") == []


def test_a_zip_bomb_is_cut_and_a_broken_stream_is_empty() -> None:
    bomb = zlib.compress(b"a" * (1 << 24))
    (text,) = found(png(chunk(b"zTXt", b"Comment\0\0" + bomb)), "png")
    assert len(text.data) == MAX_TEXT_BYTES
    (packet,) = found(png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)), "png")
    assert len(packet.data) == MAX_XMP_BYTES
    assert found(png(chunk(b"zTXt", b"Comment\0\0no zlib")), "png") == [Block("text", "Comment", b"")]


def test_a_file_keeps_so_many_blocks_so_many_bytes_and_unpacks_so_many_texts() -> None:
    assert len(found(png(*[chunk(b"tEXt", b"a\0b")] * (MAX_BLOCKS + 9)), "png")) == MAX_BLOCKS
    large = found(png(*[chunk(b"tEXt", b"a\0" + b"b" * MAX_TEXT_BYTES)] * 9), "png")
    assert sum(len(block.data) for block in large) == MAX_FILE_BYTES
    packed = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b"))
    assert len(found(png(*[packed] * (MAX_COMPRESSED_TEXTS + 9)), "png")) == MAX_COMPRESSED_TEXTS


def test_a_webp_keeps_exif_with_and_without_its_mark() -> None:
    data = webp((b"EXIF", MARKED), (b"XMP ", PACKET), (b"EXIF", FIELDS), (b"C2PA", b"store"))
    assert found(data, "webp") == [EXIF, XMP, EXIF, Block("c2pa", "", b"store")]


def test_a_gif_keeps_comments_and_xmp_as_one_piece() -> None:
    long = b"a comment " * 60
    magic = b"\x01" + bytes(range(255, -1, -1))
    data = gif(
        (0xFE, sub_blocks(long)), (0xFF, b"\x0bXMP DataXMP" + PACKET + magic), (0xFF, b"\x0bNETSCAPE2.0\3\1\0\0")
    )
    assert found(data, "gif") == [Block("text", "Comment", long), XMP]


def test_a_tiff_is_its_own_exif_and_keeps_the_others_in_fields() -> None:
    sets = iim((80, b"A. Photographer"))
    values = [(0x02BC, 1, PACKET), (0x83BB, 7, sets), (0x8649, 7, resource(0x0404, sets)), (0xCD41, 7, b"the store")]
    data = tiff(values)
    iptc = Block("iptc", "", sets)
    assert found(data, "tiff") == [Block("exif", "", data), XMP, iptc, iptc, Block("c2pa", "", b"the store")]


@pytest.mark.parametrize("format_", ["avif", "heic"])
def test_boxes_are_walked(format_: str) -> None:
    assert found(avif([(b"Exif", b"\0\0\0\0" + FIELDS)]), format_) == [EXIF]


def test_no_more_than_one_manifest_store_is_told() -> None:
    assert kinds(png(chunk(b"caBX", b"a"), chunk(b"caBX", b"b")), "png") == ["c2pa"]


@pytest.mark.parametrize("format_", [*FORMATS, "gif", "bmp"])
def test_a_plain_file_declares_nothing(format_: str) -> None:
    assert [kind for kind in kinds(saved(format_), format_) if kind != "exif"] == []


def test_no_format_has_no_blocks() -> None:
    assert list(blocks(jpeg(segment(0xE1, MARKED)), None)) == []


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("left", [0, 1, 3, 9, 13, 30])
def test_a_stump_ends_the_walk(format_: str, left: int) -> None:
    assert set(kinds(saved(format_)[:left], format_)) <= {"exif"}


def test_a_length_of_zero_does_not_hold_the_walk() -> None:
    assert kinds(b"\xff\xd8" + b"\xff\xe1\0\0" * 100_000, "jpeg") == []
    assert kinds(b"RIFF\0\0\0\0WEBP" + b"VP8X\0\0\0\0" * 100_000, "webp") == []
    assert kinds(saved("GIF")[:-1] + b"," + b"\0" * 10 + b"!\xfd\0" * 100_000, "gif") == []
    assert kinds(box(b"free") * 100_000, "avif") == []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200), format_=st.sampled_from((*FORMATS, "gif", "jxl")))
def test_no_bytes_whatever_raise(data: bytes, format_: str) -> None:
    head = {"jpeg": b"\xff\xd8\xff\xe1", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF\0\0\0\0WEBP", "gif": b"GIF89a"}
    whole = head.get(format_, b"") + data
    for block in blocks(whole, format_):
        assert len(block.data) <= len(whole)


def test_texts_keep_their_order() -> None:
    assert [block.name for block in blocks(texts({"b": "1", "a": "2"}), "png")] == ["b", "a"]
