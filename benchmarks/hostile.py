"""Measure what one image may cost: the worst files within the bounds, each decoded and viewed in a process of its own.

python -m benchmarks.hostile [--only NAME] [--folder FILES ...]
"""

import argparse
import io
import itertools
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from mole.views.preprocess import Preprocess
from mole.views.view import views
from pipeline.images.decode import Bounds, Fault, decode

BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000)
"""As a scan has them by default."""
SPECS = ("crop", "resize", "crop-9", "texture-4")
AIM_SECONDS, AIM_BYTES = 2.0, 1 << 30
SIDE = 10_000
LESS = {"webp": 8_000, "avif": 7_000, "heic": 7_000, "jp2": 5_000}
"""The side of the largest square that each format's own bound lets through."""


def main() -> None:
    """Print a line a file, and the dearest of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--folder", type=Path, nargs="*", default=[], help="files to measure as well")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(*cost(arguments.child.read_bytes()), sep="\t")
        return
    Image.MAX_IMAGE_PIXELS = None
    pillow_heif.register_heif_opener()
    found: dict[str, tuple[float, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in {**CASES, **given(arguments.folder)}.items():
            if arguments.only in name:
                path = Path(folder) / "image"
                path.write_bytes(make())
                found[name] = told(name, path)
    for what, place, unit in (("seconds of a core", 0, 1.0), ("MiB above the process", 1, float(1 << 20))):
        name = max(found, key=lambda name: found[name][place])
        print(f"most {what}: {found[name][place] / unit:,.2f} ({name})")


def given(folders: list[Path]) -> dict[str, Callable[[], bytes]]:
    """Name the files below folders, each as a case."""
    paths = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes for path in paths}


def told(name: str, path: Path) -> tuple[float, int]:
    """Run one case in a process of its own and print its line: seconds of a core and bytes."""
    command = [sys.executable, "-m", "benchmarks.hostile", "--child", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(f"{name}: DIED with {ran.returncode}: {ran.stderr[-300:]}", flush=True)
        return float("inf"), 0
    seconds, held, outcome = ran.stdout.strip().split("\t")
    over = " OVER THE AIM" if float(seconds) > AIM_SECONDS or int(held) > AIM_BYTES else ""
    size = f"{path.stat().st_size:,} bytes"
    print(f"{name}, {size}: {float(seconds):.2f} s, {int(held) >> 20:,} MiB, {outcome}{over}", flush=True)
    return float(seconds), int(held)


def cost(data: bytes) -> tuple[float, int, str]:
    """Decode and view one image by every spec: the dearest one's seconds of a core, bytes above before, and outcome."""
    views(np.zeros((3, 600, 600), np.uint8), Preprocess.named("resize"))  # torch's own start is the process's cost
    seconds, held, outcome = 0.0, 0, ""
    for spec in map(Preprocess.named, SPECS):
        before, start = resident(fresh=True), time.process_time()
        picture = decode(data, BOUNDS, spec.region)
        outcome = f"{picture.status}: {picture.detail}" if isinstance(picture, Fault) else "ok"
        if not isinstance(picture, Fault):
            views(picture.pixels_3HW, spec)
        seconds = max(seconds, time.process_time() - start)
        held = max(held, resident() - before)
        del picture
    return seconds, held, " ".join(outcome.split())


def resident(*, fresh: bool = False) -> int:
    """Read the most bytes that this process held, counted anew from now on if that is wanted (Linux)."""
    if fresh:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def scene(mode: str, side: int, noise: int = 12) -> Image.Image:
    """Draw a soft picture under noise, of any size from one tile."""
    tile = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    soft_HW3 = np.asarray(Image.fromarray(tile).resize((500, 500), Image.Resampling.BICUBIC)).astype(np.int16)
    soft_HW3 += np.random.default_rng(1).integers(-noise, noise + 1, soft_HW3.shape, np.int16)
    tiled = np.tile(soft_HW3.clip(0, 255).astype(np.uint8), (side // 500, side // 500, 1))
    return Image.fromarray(tiled).convert(mode)


def saved(form: str, mode: str, side: int = SIDE, *, noise: int = 12, **options: object) -> bytes:
    """Encode the scene."""
    out = io.BytesIO()
    scene(mode, side, noise).save(out, form, **options)
    return out.getvalue()


def png(width: int, height: int, *, bits: int = 8, colours: int = 2, interlaced: bool = False, parts: int = 1) -> bytes:
    """Write a PNG of zeros with a Paeth filter in every row, its pixels in so many chunks."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    packer = zlib.compressobj(9)
    row = b"\4" + bytes(width * samples * bits // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    cut = max(1, len(packed) // parts)
    pieces = [packed[at : at + cut] for at in range(0, len(packed), cut)] + [b""] * (parts - len(packed) // cut)
    head = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, int(interlaced))
    palette = [(b"PLTE", bytes(768)), (b"tRNS", bytes(range(256)))] if colours == 3 else []
    chunks = [(b"IHDR", head), *palette, *((b"IDAT", piece) for piece in pieces), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(code: int, body: bytes) -> bytes:
    """Write a segment of a JPEG."""
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def jpeg(side: int, scans: int, *, frame: int = 0xC2, before: bytes = b"") -> bytes:
    """Write a grey JPEG whose scans are empty: with a progressive frame they all go over all its pixels."""
    table = segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0\x10" + bytes([1] + [0] * 15) + b"\xe0")
    head = segment(0xDB, b"\0" + bytes([16] * 64)) + segment(
        frame, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"
    )
    progressive = frame in (0xC2, 0xCA)
    later = [(k, high, low) for k in range(1, 64) for high, low in itertools.pairwise([0, *range(13, -1, -1)])]
    spectra = [(0, 0, 0), *((k, 0 if low == 13 else high, low) for k, high, low in later)] if progressive else []
    marks = [bytes([first, first, high << 4 | low]) for first, high, low in spectra[:scans]] or [b"\0\x3f\0"]
    body = b"".join(segment(0xDA, b"\1\1\0" + mark) + zeros(side) for mark in marks)
    return b"\xff\xd8" + before + head + table + body + b"\xff\xd9"


def zeros(side: int) -> bytes:
    """Write entropy-coded zeros for all blocks, a bit each."""
    return bytes(((side + 7) // 8) ** 2 // 8 + 1)


def tiff(width: int, height: int, body: bytes, tags: dict[int, int]) -> bytes:
    """Write a TIFF of one strip, its tags all LONG."""
    every = {256: width, 257: height, 277: 1, 278: height, 279: len(body), 262: 1} | tags
    begin = 8 + 2 + 12 * (len(every) + 1) + 4
    entries = sorted((every | {273: begin}).items())
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + body


def deflated(count: int) -> bytes:
    """Pack zeros."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(count >> 20)) + packer.flush()


def gif_of_comments() -> bytes:
    """Write a GIF with as many comment blocks before its image as the bound lets through."""
    data = saved("GIF", "P", 500)
    at = 13 + (3 << (data[10] & 7) + 1)
    return data[:at] + (b"!\xfe" + b"\1x" * 400_000 + b"\0") + data[at:]


def run_lengths() -> bytes:
    """Write a bitmap of run lengths that ends each row at its first pixel."""
    body = b"\1\0\0\0" * 2_800 + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, 2_800, 2_800, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(body), 0, 0, 54 + 1024) + head + bytes(range(256)) * 4 + body


def frames(form: str, side: int) -> bytes:
    """Encode an animation of large frames."""
    out = io.BytesIO()
    first, *others = (Image.new("RGB", (side, side), colour) for colour in ("red", "green", "blue", "black"))
    first.save(out, form, save_all=True, append_images=others)
    return out.getvalue()


def photographs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name the largest ordinary files of every format."""
    for mode in ("RGB", "CMYK"):
        for progressive in (False, True):
            name = f"jpeg {mode}{' progressive' if progressive else ''}"
            side = SIDE if mode == "RGB" or not progressive else 8_000
            yield name, partial(saved, "JPEG", mode, side, progressive=progressive, quality=80, subsampling=0)
    for mode in ("RGB", "RGBA"):
        yield f"png {mode} of noise", partial(saved, "PNG", mode, 4_000, compress_level=1)
        yield f"webp {mode}", partial(saved, "WEBP", mode, LESS["webp"], method=0)
        yield (
            f"webp {mode} lossless",
            partial(saved, "WEBP", mode, LESS["webp"], noise=1, lossless=True, quality=0, method=0),
        )
        yield f"avif {mode}", partial(saved, "AVIF", mode, LESS["avif"], speed=10, subsampling="4:4:4", quality=50)
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "zstd", "jpeg", "packbits"):
        yield f"tiff {packing}", partial(saved, "TIFF", "RGB", SIDE, noise=0, compression=packing)
    yield "tiff group4", partial(saved, "TIFF", "1", SIDE, compression="group4")
    yield "gif", partial(saved, "GIF", "P", SIDE, noise=1)
    yield "bmp 1", partial(saved, "BMP", "1", SIDE)
    yield "heic", partial(saved, "HEIF", "RGB", LESS["heic"], quality=40, enc_params={"preset": "ultrafast"})
    jp2 = partial(saved, "JPEG2000", "RGB", LESS["jp2"], irreversible=True, quality_mode="rates", quality_layers=[6])
    yield "jp2", jp2
    yield "jp2 tiled", partial(jp2, tile_size=(256, 256))


def bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name files that ask for much work in few bytes."""
    for bits, colours in itertools.product((8, 16), (0, 2, 4, 6)):
        yield f"png {bits} bits, colour type {colours}", partial(png, SIDE, SIDE, bits=bits, colours=colours)
    yield "png interlaced", partial(png, SIDE, SIDE, interlaced=True)
    yield "png palette", partial(png, SIDE, SIDE, colours=3)
    yield "png of many chunks", partial(png, 2_000, 2_000, parts=99_000)
    for width, height in ((16, 6_250_000), (6_250_000, 16), (300, 333_000), (333_000, 300)):
        yield f"png {width} x {height}", partial(png, width, height)
    for scans, side in ((12, SIDE), (18, 8_000), (883, 1_100)):
        yield f"jpeg {side} x {side}, {scans} scans", partial(jpeg, side, scans)
    yield "jpeg of many segments", partial(jpeg, 1_000, 1, before=b"\xff\xfe\0\2" * 9_900)
    yield "jpeg arithmetic", partial(jpeg, SIDE, 1, frame=0xC9)
    yield "jpeg arithmetic progressive", partial(jpeg, 4_000, 15, frame=0xCA)
    yield "gif of comments", gif_of_comments
    yield "gif animation", partial(frames, "GIF", 8_000)
    yield "webp animation", partial(frames, "WEBP", LESS["webp"])
    yield "bmp of run lengths", run_lengths
    float_tags = {258: 32, 339: 3, 259: 8}
    yield "tiff floats", lambda: tiff(8_000, 8_000, deflated(4 * 8_000 * 8_000 + (1 << 20)), float_tags)
    yield "tiff 16 bits", lambda: tiff(SIDE, SIDE, deflated(2 * SIDE * SIDE + (1 << 20)), {258: 16, 259: 8})
    yield "tiff of rows", lambda: saved("TIFF", "L", SIDE, noise=0, compression="tiff_adobe_deflate", tiffinfo={278: 1})


CASES: dict[str, Callable[[], bytes]] = dict(itertools.chain(bombs(), photographs()))

if __name__ == "__main__":
    main()
