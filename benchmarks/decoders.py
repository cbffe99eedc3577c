"""Decoders of PNG and WebP: CPU milliseconds by Pillow, which a scan uses, and by imagecodecs, and if pixels agree.

    python3 -m venv PEER && PEER/bin/pip install imagecodecs pillow
    PEER/bin/python -m benchmarks.decoders --image PHOTO.jpg

imagecodecs (libspng, libwebp) lives in an environment of its own and is no dependency.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image

SIZES = ((512, 512), (1024, 768), (2048, 1536))
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "PNG": ("PNG", {}, "spng_decode"),
    "WebP, quality 85": ("WEBP", {"quality": 85}, "webp_decode"),
    "WebP, lossless": ("WEBP", {"lossless": True}, "webp_decode"),
}
"""How a picture is written, and imagecodecs' function that reads it."""
ROUNDS = 15


def main() -> None:
    """Measure and print a line for each kind and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, help="a photograph")
    codecs = import_module("imagecodecs")
    photograph = Image.open(parser.parse_args().image).convert("RGB")
    for size in SIZES:
        picture = photograph.resize(size, Image.Resampling.LANCZOS)
        for kind, (form, options, name) in KINDS.items():
            out = io.BytesIO()
            picture.save(out, form, **options)
            by_pillow, pixels = milliseconds(decode_by_pillow, out.getvalue())
            by_other, others = milliseconds(getattr(codecs, name), out.getvalue())
            agree = "the same pixels" if np.array_equal(pixels, others[..., :3]) else "OTHER PIXELS"
            print(f"{size[0]} x {size[1]}, {kind}: Pillow {by_pillow:.1f} ms, {name} {by_other:.1f} ms, {agree}")
    told = f"Pillow {version('pillow')}, imagecodecs {version('imagecodecs')}"
    print(f"{told}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


def decode_by_pillow(data: bytes) -> np.ndarray:
    """Decode as RGB; uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def milliseconds(decode: Callable[[bytes], np.ndarray], data: bytes) -> tuple[float, np.ndarray]:
    """Decode several times: the fewest milliseconds of CPU time of this thread, and the pixels."""
    times = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        pixels = decode(data)
        times.append(time.thread_time() - begun)
    return 1000 * min(times), pixels


if __name__ == "__main__":
    main()
