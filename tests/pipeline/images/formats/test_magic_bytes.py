"""Laws of signatures: every kind of picture is known by its beginning, and what is none is not taken for one."""

import struct

import pytest

from pipeline.images.decode import Bounds, Fault, decode
from pipeline.images.formats.magic_bytes import detect_format
from pipeline.records import Status
from tests.imagefiles import saved, scene

BEGINNINGS = {
    "jxl": b"\xff\x0a\xfa\x1f",
    "jls": b"\xff\xd8\xff\xf7\0\x0b\x08",
    "jxr": b"II\xbc\x01\x08\0\0\0",
    "psd": b"8BPS\0\1",
    "ico": b"\0\0\1\0\1\0\x10\x10",
    "xcf": b"gimp xcf file\0",
    "djvu": b"AT&TFORM\0\0\0\0DJVU",
    "fits": b"SIMPLE  =                    T",
    "exr": b"\x76\x2f\x31\x01\2\0\0\0",
    "hdr": b"#?RADIANCE\n",
    "cr2": b"II*\0\x10\0\0\0CR\2\0",
    "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "orf": b"IIRO\x08\0\0\0",
    "rw2": b"IIU\0\x18\0\0\0",
    "raf": b"FUJIFILMCCD-RAW 0201",
    "x3f": b"FOVb\0\0\2\0",
    "mrw": b"\0MRM\0\0\0\0",
    "crw": b"II\x1a\0\0\0HEAPCCDR",
    "pnm": b"P6\n2 2\n255\n" + b"\0" * 12,
    "dicom": bytes(128) + b"DICM",
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_kind_that_nothing_here_reads_is_unsupported_and_named(name: str) -> None:
    found = decode(BEGINNINGS[name], Bounds(1 << 20, 1 << 20))
    assert isinstance(found, Fault)
    assert (found.status, found.format) == (Status.UNSUPPORTED, name)


@pytest.mark.parametrize("form", ["TGA", "DDS", "PCX", "QOI", "SGI", "PPM", "ICNS", "ICO", "PDF", "EPS"])
def test_what_pillow_writes_and_nothing_here_reads_is_unsupported(form: str) -> None:
    found = decode(saved(scene(), form), Bounds(1 << 20, 1 << 20))
    assert isinstance(found, Fault)
    assert (found.status, found.format) == (Status.UNSUPPORTED, "pnm" if form == "PPM" else form.lower())


@pytest.mark.parametrize("options", [{}, {"compression": "tga_rle"}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_truevision_image_is_known_without_its_footer(mode: str, options: dict[str, str]) -> None:
    data = saved(scene(mode), "TGA", **options)
    assert detect_format(data) == "tga" == detect_format(data.removesuffix(bytes(8) + b"TRUEVISION-XFILE.\0"))


@pytest.mark.parametrize(
    "data",
    [bytes(400), b"\0\0\2", bytes(range(256)), b"BM is no bitmap but a text", b"{}", b"\xff", b"RIFF\0\0\0\0WAVEfmt "]
    + [b"\0\0\0\x20ftyp" + brand + b"\0\0\2\0mp41avif" for brand in (b"isom", b"mp42", b"qt  ")]
    + [struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 60_000, 60_000, 24, 0) + bytes(50)],
)
def test_what_is_no_picture_has_no_name(data: bytes) -> None:
    assert detect_format(data) is None


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        (b"heic\0\0\0\0mif1heic", "heic"),
        (b"mif1\0\0\0\0mif1avif", "avif"),
        (b"mif1\0\0\0\0heic", "heic"),
        (b"avis\0\0\0\0msf1", "avif"),
        (b"hevc\0\0\0\0msf1", "heic"),
    ],
)
def test_a_boxed_image_is_what_its_brands_agree_on(brands: bytes, name: str) -> None:
    assert detect_format(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands) == name
