"""Seeds: a small sound file of every image format and variant, from which damaged ones are made."""

import struct
import zlib
from functools import cache

import numpy as np
import pillow_heif

from tests.imagefiles import chunk, empty_scans, png, saved, scene, tiff

MAX_SIDE = 65_535

pillow_heif.register_heif_opener()  # Pillow then encodes HEIC


@cache
def seeds() -> tuple[bytes, ...]:
    """Make a file of every format and variant, each of at most a few kilobytes."""
    second = [scene("L").convert("RGB")]
    plain = [saved(scene(mode), "JPEG", progressive=slow) for mode in ("RGB", "L", "CMYK") for slow in (False, True)]
    plain += [saved(scene(mode), "PNG") for mode in ("RGB", "RGBA", "P", "1")]
    plain += [saved(scene(mode), "TIFF") for mode in ("L", "P", "CMYK", "YCbCr", "F", "I")]
    plain += [saved(scene(), "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "packbits", "zstd", "lzma")]
    plain += [saved(scene(), "JPEG2000", **how) for how in ({}, {"tile_size": (32, 32)}, {"no_jp2": True})]
    moving = [
        saved(scene(), form, save_all=True, append_images=second) for form in ("GIF", "WEBP", "PNG", "AVIF", "MPO")
    ]
    rest = [saved(scene(), form) for form in ("BMP", "WEBP", "AVIF", "HEIF", "TGA")]
    return (*plain, *moving, *rest, saved(scene(), "TIFF", big_tiff=True), empty_scans(64, 40))


@cache
def absurd() -> tuple[bytes, ...]:
    """Make files whose headers claim sizes that their bytes do not have: 65,535², nothing, and the largest numbers."""
    line = np.zeros((1, 64), np.uint8)
    sizes = [(MAX_SIDE, MAX_SIDE), (0, 0), (0, 64), (64, 0), (1, MAX_SIDE), (2**31 - 1, 2**31 - 1), (9_000, 9_000)]
    made = [png(line, bits, colours, size=size) for size in sizes for bits, colours in ((8, 0), (16, 6), (1, 3))]
    made += [sized(form, size) for form in SIZED for size in sizes]
    made += [tiff(line, 8, t256=(wide,), t257=(high,), t278=(high,)) for wide, high in sizes if wide and high]
    return tuple(made)


@cache
def bombs() -> tuple[bytes, ...]:
    """Make small files that ask for much: pixels of one value, empty scans, text that inflates, boxes within boxes."""
    wide = zlib.compress(bytes(4_001 * 4_000), 9)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4_000, 4_000, 8, 0, 0, 0, 0))
    flat = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", wide) + chunk(b"IEND", b"")
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(32 << 20), 9))
    nested = b"\0\0\0\x14ftypheic\0\0\0\0mif1" + b"".join(
        struct.pack(">I4s", max(8, 8 * (400 - depth)), b"meta" if depth % 2 else b"iprp") for depth in range(400)
    )
    jp2 = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 2_000
    comments = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0) + b"!\xfe" + b"\1x" * 60_000 + b"\0"
    segments = b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000 + saved(scene(), "JPEG")[2:]
    chunks = flat[:33] + chunk(b"teXt", b"") * 20_000 + flat[33:]
    inner = saved(scene(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8))
    return (flat, png(np.zeros((64, 64), np.uint8), 8, 0, text), empty_scans(1_000, 200), nested, jp2, comments, segments,
            chunks, inner, saved(scene().resize((3_000, 3_000)), "GIF"))  # fmt: skip


SIZED = {
    "JPEG": (b"\xff\xc0\0\x11\x08", ">HH", False),
    "GIF": (b"GIF87a", "<HH", True),
    "BMP": (b"\x28\0\0\0", "<II", True),
    "WEBP": (b"\x9d\x01\x2a", "<HH", True),
    "AVIF": (b"ispe\0\0\0\0", ">II", True),
    "HEIF": (b"ispe\0\0\0\0", ">II", True),
    "JPEG2000": (b"\xff\x51\0\x2f\0\0", ">II", True),
}
"""By Pillow's name of a format: what stands before its size, how that is packed, and whether the width comes first."""


def sized(form: str, size: tuple[int, int]) -> bytes:
    """Make a file whose header claims another width and height, cut to the bits that the field has."""
    mark, packed, width_first = SIZED[form]
    data = saved(scene(), form)
    at = data.index(mark) + len(mark)
    most = (1 << 4 * struct.calcsize(packed)) - 1
    pair = [min(side, most) for side in (size if width_first else size[::-1])]
    return data[:at] + struct.pack(packed, *pair) + data[at + struct.calcsize(packed) :]
