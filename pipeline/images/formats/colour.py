"""Colour: converts decoded images of any mode to 8-bit RGB, in bands of rows.

Shapes: H, W of the window; G pixels of greyscale with more than 8 bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mole.views.preprocess import Window
from mole.views.view import Pixels
from pipeline.images.formats.layout import Layout, unsupported

PIXELS_PER_BAND = 1 << 22
"""Pixels per band, so that no conversion holds a whole image twice."""
DEEP_MODES = ("I", "F")
MAX_HIGHLIGHT = 16
"""Float images up to this maximum have white at 1 and highlights above."""


def rgb(image: Image.Image, window: Window, layout: Layout) -> Pixels:
    """Convert a window of a decoded image.

    Args:
        image: decoded, in any Pillow mode.
        window: the window in Pillow's image.
        layout: gives the white level of greyscale.

    Returns:
        uint8 (H, W, 3), writeable.

    Raises:
        RefusalError: the white level of a deep greyscale image is unknown.
    """
    scale = _scale(image, layout) if image.mode.startswith(DEEP_MODES) else None
    pixels_HW3 = np.empty((window.height, window.width, 3), np.uint8)
    for top, band in bands(image, window):
        seen = band if scale is None else scale.eight_bits(band)
        pixels_HW3[top : top + band.height] = np.asarray(_rgb(seen))
    return pixels_HW3


def bands(image: Image.Image, window: Window) -> Iterator[tuple[int, Image.Image]]:
    """Yield bands of a window of an image, each with its first row in the window."""
    rows = max(1, PIXELS_PER_BAND // max(1, window.width))
    for top in range(0, window.height, rows):
        low = min(top + rows, window.height)
        box = (window.left, window.top + top, window.left + window.width, window.top + low)
        yield top, image if box == (0, 0, *image.size) else image.crop(box)


def _rgb(image: Image.Image) -> Image.Image:
    """Convert an 8-bit mode to RGB, with transparency composited over white."""
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGB", seen.size, "white")
        white.paste(seen, mask=seen.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


@dataclass(frozen=True)
class Scale:
    """The conversion of deep greyscale to 8 bits.

    Attributes:
        factor: factor of the values.
        inverted: whether 0 is white.
    """

    factor: float
    inverted: bool

    def eight_bits(self, image: Image.Image) -> Image.Image:
        """Scale a band of deep greyscale, clipped to [0, 255]."""
        grey_HW = (np.asarray(image, dtype=np.float32) * self.factor).round().clip(0, 255).astype(np.uint8)
        return Image.fromarray(255 - grey_HW if self.inverted else grey_HW)


def _scale(image: Image.Image, layout: Layout) -> Scale:
    """Determine the white level of deep greyscale: from the structure, for floats from their values."""
    white = _float_white(image) if image.mode == "F" else layout.white
    if white is None:
        raise unsupported(f"{layout.kind or image.mode}: the white level is unknown")
    return Scale(1 / 257 if white == 65535 else 255 / white, layout.inverted)


def _float_white(image: Image.Image) -> float | None:
    """Determine the white level of floats: 1 if most are below it, else that of 8 or 16 bits.

    Returns:
        1, 255 or 65,535; None if values are negative, infinite, NaN, or above all these.
    """
    brightest, within, whole, finite = 0.0, 0, True, True
    for _, band in bands(image, Window(0, 0, image.height, image.width)):
        grey_G: NDArray[np.float32] = np.asarray(band, dtype=np.float32)
        finite = finite and bool(np.isfinite(grey_G).all()) and bool(grey_G.min() >= 0)
        if not finite:
            return None
        brightest = max(brightest, float(grey_G.max()))
        within += int((grey_G <= 1).sum())
        whole = whole and bool((grey_G == grey_G.round()).all())
    if brightest <= 1 or (not whole and (brightest <= MAX_HIGHLIGHT or 2 * within >= image.width * image.height)):
        return 1.0
    return next((white for white in (255.0, 65535.0) if brightest <= white), None)
