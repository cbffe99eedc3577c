"""Measure decoding on one core: this decoder, Pillow, open_clip's stock transform, and what reading provenance costs.

python -m benchmarks.decode --image PHOTOGRAPH.jpg
"""

import argparse
import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from mole.views.preprocess import Preprocess
from mole.views.view import Pixels, view
from pipeline.images.decode import Bounds, Fault, Region, decode, whole_image
from pipeline.images.provenance import declared_provenance

SAMPLES = Path(__file__).parent.parent / "examples" / "shards" / "sample-00000.tar"
SIZES = ((512, 512), (1024, 768), (2048, 1536), (4000, 3000))
VIEWS = ("decode and crop view", "decode and resize view", "decode whole, then resize")
STOCK = "open_clip's transform"
BOUNDS = Bounds(max_bytes=1 << 26, max_pixels=1 << 27)
ROUNDS = 40


def main() -> None:
    """Print one line a size: images a second of each way, the best of many interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="a photograph; without it, the first of the sample shards")
    image = parser.parse_args().image
    torch.set_num_threads(1)
    with Image.open(io.BytesIO(image.read_bytes() if image else sample())) as opened:
        photograph = opened.convert("RGB")
    for size in SIZES:
        data = jpeg(photograph, size)
        rates = measure(ways(data))
        told = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        print(f"{size[0]} x {size[1]}, {len(data):,} bytes, images/s on one core: {told}")
        times = ", ".join(f"{name} {rates[name] / rates[STOCK]:.1f}" for name in VIEWS)
        print(f"    times {STOCK}: {times}")


def sample() -> bytes:
    """Take the first photograph of the sample shards."""
    with tarfile.open(SAMPLES) as archive:
        member = next(member for member in archive if member.name.endswith(".jpg"))
        content = archive.extractfile(member)
        return content.read() if content else b""


def jpeg(photograph: Image.Image, size: tuple[int, int]) -> bytes:
    """Encode a photograph at a size, quality 90."""
    out = io.BytesIO()
    photograph.resize(size).save(out, "JPEG", quality=90)
    return out.getvalue()


def ways(data: bytes) -> dict[str, Callable[[], object]]:
    """Name what is compared."""
    stock = open_clip.image_transform(224, is_train=False)
    crop, resize = Preprocess(mode="crop"), Preprocess(mode="resize")

    def pixels(region: Region) -> Pixels:
        picture = decode(data, BOUNDS, region)
        if isinstance(picture, Fault):
            raise ValueError(f"the benchmark's own image is {picture.status}: {picture.detail}")
        return picture.pixels_3HW

    return {
        "decode": lambda: decode(data, BOUNDS),
        "decode and crop view": lambda: view(pixels(crop.region), crop),
        "decode and resize view": lambda: view(pixels(resize.region), resize),
        "decode whole, then resize": lambda: view(pixels(whole_image), resize),
        "Pillow decode": lambda: np.array(Image.open(io.BytesIO(data)).convert("RGB")),
        STOCK: lambda: stock(Image.open(io.BytesIO(data))),
        "declared": lambda: declared_provenance(data, "jpeg"),
    }


def measure(compared: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Time every way in turn, round after round, and keep each one's best: other work on the machine hits all alike."""
    best = dict.fromkeys(compared, float("inf"))
    for _ in range(ROUNDS):
        for name, way in compared.items():
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: 1 / seconds for name, seconds in best.items()}


if __name__ == "__main__":
    main()
