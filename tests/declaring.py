"""Declaring: image files that say something about themselves, made by hand, byte by byte."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

WEB_UI = "a cat, in oil\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Model: dreamy_8, Version: v1.9.0"
WEB_UI_LINE = "Steps: 20, Sampler: Euler a, Model: dreamy_8, Version: v1.9.0"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GRAPH = '{"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}}}'

SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
}


def saved(form: str, *, size: int = 64, **options: Any) -> bytes:
    """A plain image of a format."""
    out = io.BytesIO()
    Image.new("RGB", (size, size), "teal").save(out, form, **options)
    return out.getvalue()


def exif(tags: dict[int, str | bytes], comment: bytes = b"") -> bytes:
    """An EXIF block in little endian; a text becomes ASCII with its NUL, bytes become UNDEFINED."""
    values = [
        (tag, 2, said.encode() + b"\0") if isinstance(said, str) else (tag, 7, said) for tag, said in tags.items()
    ]
    if not comment:
        return tiff(values)
    inner = tiff([(0x9286, 7, comment)], offset=8)
    return tiff([*values, (0x8769, 4, struct.pack("<I", 8))], before=inner)


def tiff(values: list[tuple[int, int, bytes]], *, offset: int = 0, before: bytes = b"") -> bytes:
    """A TIFF structure of fields (tag, type, bytes); with an offset, only a directory that will stand there."""
    start = offset or 8 + len(before)
    at = start + 2 + 12 * len(values) + 4
    entries, heap = b"", b""
    for tag, kind, value in sorted(values):
        count = len(value) // {3: 2, 4: 4}.get(kind, 1)
        if len(value) <= 4:
            entries += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, kind, count, at + len(heap))
            heap += value
    directory = struct.pack("<H", len(values)) + entries + b"\0\0\0\0" + heap
    return directory if offset else b"II*\0" + struct.pack("<I", start) + before + directory


def xmp(body: str, spaces: dict[str, str] | None = None) -> bytes:
    """An XMP packet around descriptions."""
    named = "".join(f' xmlns:{prefix}="{address}"' for prefix, address in (spaces or SPACES).items())
    return f"<x:xmpmeta{named}><rdf:RDF>{body}</rdf:RDF></x:xmpmeta>".encode()


def iim(*sets: tuple[int, bytes]) -> bytes:
    """IPTC-IIM data sets of the second record."""
    return b"".join(b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(said)) + said for number, said in sets)


def resource(number: int, body: bytes) -> bytes:
    """A Photoshop resource without a name."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + b"\0" * (len(body) % 2)


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments: bytes) -> bytes:
    """A JPEG that begins with segments, or other bytes."""
    plain = saved("JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    """A PNG with chunks before its end."""
    plain = saved("PNG")
    return plain[:-12] + b"".join(chunks) + plain[-12:]


def texts(said: dict[str, str]) -> bytes:
    """A PNG with texts."""
    return png(*(chunk(b"iTXt", name.encode() + b"\0\0\0\0\0" + text.encode()) for name, text in said.items()))


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP with chunks behind its pixels."""
    plain = saved("WEBP")
    more = b"".join(kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in chunks)
    return plain[:4] + struct.pack("<I", len(plain) - 8 + len(more)) + plain[8:] + more


def gif(*extensions: tuple[int, bytes]) -> bytes:
    """A GIF with extensions (label, sub-blocks) before its end."""
    plain = saved("GIF")
    return plain[:-1] + b"".join(b"!" + bytes([label]) + body + b"\0" for label, body in extensions) + b";"


def sub_blocks(body: bytes) -> bytes:
    """Bytes in a GIF's sub-blocks."""
    parts = [body[at : at + 255] for at in range(0, len(body), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts)


def box(kind: bytes, *bodies: bytes) -> bytes:
    """An ISO box."""
    body = b"".join(bodies)
    return struct.pack(">I", len(body) + 8) + kind + body


def avif(items: list[tuple[bytes, bytes]], *, version: int = 1, inside: bool = False, brand: bytes = b"avif") -> bytes:
    """The boxes of an AVIF without pictures, whose items (kind, body) lie in `mdat`, or in `idat`.

    A kind is four letters, or `mime` with a NUL-ended name and type behind it.
    """
    head = box(b"ftyp", brand + b"\0\0\0\0mif1")
    infe = [
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", at, 0) + kind[:4] + b"\0" + kind[4:])
        for at, (kind, _) in enumerate(items, 1)
    ]
    iinf = box(b"iinf", b"\0\0\0\0" + struct.pack(">H", len(items)), *infe)
    idat = box(b"idat", *(body for _, body in items)) if inside else b""
    wide = "I" if version == 2 else "H"
    size = sum((4 if version == 2 else 2) + (2 if version else 0) + 2 + 4 + 2 + 8 for _ in items)
    before = len(head) + 8 + 4 + len(iinf) + len(idat) + 8 + 4 + 2 + struct.calcsize(wide) + size + 8
    places, at = b"", 0 if inside else before
    for number, (_, body) in enumerate(items, 1):
        method = struct.pack(">H", int(inside)) if version else b""
        half = len(body) // 2  # in two pieces
        places += struct.pack(">" + wide, number) + method + struct.pack(">HIH", 0, at, 2)
        places += struct.pack(">HHHH", 0, half, half, len(body) - half)
        at += len(body)
    iloc = box(b"iloc", bytes([version, 0, 0, 0, 0x22, 0x40]), struct.pack(">" + wide, len(items)), places)
    meta = box(b"meta", b"\0\0\0\0", iinf, idat, iloc)
    return head + meta + box(b"mdat", *(body for _, body in items))
