"""Image files written byte by byte, as no encoder here writes them."""

import io
import itertools
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 64


def scene(mode: str = "RGB") -> Image.Image:
    """A smooth colour picture whose four corners differ, so that a wrong turn shows."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    planes = (across * 255 / WIDTH, down * 255 / HEIGHT, 255 - (across + down) * 255 / (WIDTH + HEIGHT))
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """Encode as Pillow does."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write a PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, bits: int, colours: int, *more: bytes, size: tuple[int, int] | None = None) -> bytes:
    """Write a PNG from rows of big-endian samples, further chunks before its pixels."""
    wide, high = size or (pixels.shape[1], pixels.shape[0])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, bits, colours, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def directory(tags: Mapping[int, tuple[int, ...]], at: int, *, following: int = 0) -> bytes:
    """Write a TIFF directory of LONGs, which lies at a place in its file."""
    entries, values = b"", b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        entries += struct.pack("<HHI", tag, 4, len(numbers))
        entries += packed if len(packed) == 4 else struct.pack("<I", behind + len(values))
        values += packed if len(packed) > 4 else b""
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + values


def tiff(pixels: np.ndarray, bits: int, photometric: int = 1, **tags: tuple[int, ...]) -> bytes:
    """Write a TIFF of one strip from (H, W) or (H, W, C) little-endian samples; further tags as t339=(3,)."""
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    every = {
        256: (pixels.shape[1],),
        257: (pixels.shape[0],),
        258: (bits,) * samples,
        259: (1,),
        262: (photometric,),
        273: (0,),
        277: (samples,),
        278: (pixels.shape[0],),
        279: (pixels.nbytes,),
    } | {int(name[1:]): value for name, value in tags.items()}
    every[273] = (8 + len(directory(every, 8)),)
    return b"II*\0\x08\0\0\0" + directory(every, 8) + pixels.tobytes()


def segment(code: int, body: bytes) -> bytes:
    """Write a JPEG segment."""
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def empty_scans(side: int, scans: int) -> bytes:
    """Write a grey progressive JPEG whose scans hold nothing, yet go over all its pixels; at most 883."""
    tables = segment(0xDB, b"\0" + bytes([16] * 64)) + segment(
        0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0\x10" + bytes([1] + [0] * 15) + b"\xe0"
    )
    frame = segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    steps = list(itertools.pairwise([0, *range(13, -1, -1)]))
    marks = [b"\0\0\0", *(bytes([k, k, high << 4 | low]) for k in range(1, 64) for high, low in steps)]
    blocks = (side + 7) // 8
    body = bytes(blocks * blocks // 8 + 1)
    every = (segment(0xDA, b"\1\1\0" + mark) + body for mark in marks[:scans])
    return b"\xff\xd8" + tables + frame + b"".join(every) + b"\xff\xd9"
