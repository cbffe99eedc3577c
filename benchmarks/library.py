"""Library: of how many images the shipped detector sees the same to the bit, as a file, from Pillow, or as an array.

python -m benchmarks.library --source PHOTOS
"""

import argparse
import io
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from mole.config import describe
from mole.views.view import views
from pipeline import registry
from pipeline.images.decode import Picture
from pipeline.library.image import ImageLike, decode_input
from pipeline.scan.reading.source import Source
from pipeline.storage import storage

WAYS: dict[str, Callable[[bytes], ImageLike]] = {
    "bytes": lambda data: data,
    "Image.open": lambda data: Image.open(io.BytesIO(data)),
    "np.asarray(Image.open(…).convert('RGB'))": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    spec = describe(registry.locate(registry.EMBEDDED)).preprocess
    alike: Counter[str] = Counter()
    images = 0
    for unit in Source([parser.parse_args().source]).units():
        scanned = decode_input(unit.uri, spec.region)
        if not isinstance(scanned, Picture):
            continue
        images += 1
        for name, given in WAYS.items():
            picture = decode_input(given(storage.read(unit.uri)), spec.region)
            if isinstance(picture, Picture):
                alike[name] += np.array_equal(views(picture.pixels_3HW, spec), views(scanned.pixels_3HW, spec))
    print(f"{images} images", *(f"{name}: {alike[name]}" for name in WAYS), sep="\n")
    print(f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
