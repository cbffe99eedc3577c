"""Laws of container: metadata is found where each format keeps it, and no length in a file is believed beyond it."""

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.container import MOST_TEXT_BYTES, Block, blocks

FORMATS = ("jpeg", "png", "webp", "tiff", "avif")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a/></x:xmpmeta>'


def saved(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(out, form, **options)
    return out.getvalue()


def exif() -> Image.Exif:
    written = Image.Exif()
    written[0x0131] = "a program"
    return written


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    """A PNG with chunks put before its end."""
    plain = saved("PNG")
    return plain[:-12] + b"".join(chunks) + plain[-12:]


def kinds(data: bytes, format_: str) -> list[str]:
    return [block.kind for block in blocks(data, format_)]


@pytest.mark.parametrize("format_", FORMATS)
def test_exif_is_found_in_every_format_and_reads(format_: str) -> None:
    found = [block for block in blocks(saved(format_, exif=exif()), format_) if block.kind == "exif"]
    assert len(found) == 1
    read = Image.Exif()
    read.load(found[0].data)
    assert read[0x0131] == "a program"


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_xmp_is_found(format_: str) -> None:
    assert next(block.data for block in blocks(saved(format_, xmp=XMP), format_) if block.kind == "xmp").startswith(
        XMP[:-12]
    )


def test_xmp_of_a_png_is_xmp_and_no_text() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    assert list(blocks(saved("PNG", pnginfo=info), "png")) == [Block("xmp", "", XMP)]


@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_png_text_is_utf8(packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Fäb", zip=packed)
    info.add_itxt("Title", "猫", zip=packed)
    assert list(blocks(saved("PNG", pnginfo=info), "png")) == [
        Block("text", "Software", "Fäb".encode()),
        Block("text", "Title", "猫".encode()),
    ]


def test_a_text_behind_the_pixels_is_found() -> None:
    assert list(blocks(png(chunk(b"tEXt", b"Software\0late")), "png")) == [Block("text", "Software", b"late")]


def test_a_zip_bomb_of_a_text_is_cut() -> None:
    bomb = zlib.compress(b"a" * (1 << 26))
    assert len(bomb) < 1 << 17
    (found,) = blocks(png(chunk(b"zTXt", b"Comment\0\0" + bomb)), "png")
    assert len(found.data) == MOST_TEXT_BYTES


def test_a_broken_zip_stream_is_an_empty_text() -> None:
    assert list(blocks(png(chunk(b"zTXt", b"Comment\0\0no zlib")), "png")) == [Block("text", "Comment", b"")]


def test_a_manifest_store_is_told_and_not_copied() -> None:
    assert list(blocks(png(chunk(b"caBX", b"jumb" * 100)), "png")) == [Block("c2pa", "", b"")]
    plain = saved("JPEG")
    marked = plain[:2] + b"\xff\xeb" + struct.pack(">H", 20) + b"JP\0\1" + b"\0" * 14 + plain[2:]
    assert list(blocks(marked, "jpeg")) == [Block("c2pa", "", b"")]


@pytest.mark.parametrize("format_", [*FORMATS, "gif", "bmp"])
def test_a_plain_file_declares_nothing(format_: str) -> None:
    assert [kind for kind in kinds(saved(format_), format_) if kind != "exif"] == []


def test_no_format_has_no_blocks() -> None:
    assert list(blocks(saved("JPEG", exif=exif()), None)) == []


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("left", [0, 1, 3, 9, 13, 30])
def test_a_stump_ends_the_walk(format_: str, left: int) -> None:
    assert set(kinds(saved(format_, exif=exif())[:left], format_)) <= {"exif"}


def test_a_length_of_zero_does_not_hold_the_walk() -> None:
    assert kinds(b"\xff\xd8" + b"\xff\xe1\0\0" * 100_000, "jpeg") == []
    assert kinds(b"RIFF\0\0\0\0WEBP" + b"VP8X\0\0\0\0" * 100_000, "webp") == []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200), format_=st.sampled_from(FORMATS))
def test_no_bytes_whatever_raise(data: bytes, format_: str) -> None:
    head = {"jpeg": b"\xff\xd8\xff\xe1", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF\0\0\0\0WEBP"}.get(format_, b"")
    for block in blocks(head + data, format_):
        assert len(block.data) <= len(head + data)
