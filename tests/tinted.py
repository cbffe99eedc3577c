"""Labelled pictures that anything can learn: noise of one size and quality, whose tint is their source's."""

from pathlib import Path

import numpy as np
from PIL import Image

RED, BLUE, GREEN = (90, -60, -60), (-60, -60, 90), (-60, 90, -60)
TINTS = {"photos": (0, 0, 0), "red": RED, "blue": BLUE, "sunsets": RED, "green": GREEN}
EACH = 48
"""Pictures of a source."""


def collect(folder: Path, layout: dict[str, str]) -> Path:
    """Write the pictures of some sources as source/label/name.jpg.

    Args:
        folder: where they go.
        layout: the folder of each source, by its name in `TINTS`.
    """
    for number, (source, place) in enumerate(layout.items()):
        chance = np.random.default_rng(number + 10 * len(layout))
        for image in range(EACH):
            grey = chance.integers(70, 160, (12, 12, 1)).repeat(3, axis=2) + chance.normal(0, 8, (12, 12, 3))
            pixels = (grey + np.array(TINTS[source])).clip(0, 255).astype(np.uint8)
            file = folder / place / f"{source}-{image}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((160, 160), Image.Resampling.BICUBIC).save(file, quality=90)
    return folder
