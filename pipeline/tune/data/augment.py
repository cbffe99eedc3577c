"""Augmentation: random crops, scales, blur and re-encoding, the same for both classes so that they do not leak.

Legend: H, W of one picture.
"""

import io
import math
import random

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from pipeline.tune.data.pixels import blurred, scaled

ALIGNED_SIDE = 256
ALIGNED_QUALITY = 90
SIDE = 224  # of a view; smaller pictures are enlarged to it
MAX_SHORT_SIDE = 512  # maximum short side before scaling, unless the variant stays near the picture's own scale
SCALES = (0.5, 1.0)  # log-uniform, unless the variant stays near the picture's own scale
NEAR_SCALES = (0.7, 2.0)  # log-uniform, for 40 % of the variants that stay near the picture's own scale
WINDOW_SIDES = (224, 320)  # side of the crop of a variant that stays near the picture's own scale
BLUR, BLURRED = (0.1, 2.0), 0.2
SCREENSHOT_SHARE = 0.2  # share of variants that simulate a screenshot at another scale
SCREENSHOT_SCALES = (0.6, 1.6)  # scale of the screenshot, log-uniform
NEAR_SCREENSHOT_SCALES = (0.75, 1.35)
SCREENSHOT_FILTERS = tuple(
    getattr(Image.Resampling, name) for name in ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
)
CODECS = ("jpeg", "jpeg-fast", "jpeg-444", "webp")
QUALITIES = (40, 98)


def align(pixels_3HW: Tensor) -> Tensor:
    """Give a picture a short side of 256 and JPEG quality 90, for evaluation; uint8 in and out."""
    return encode_again(resize(pixels_3HW, ALIGNED_SIDE), "jpeg", ALIGNED_QUALITY)


def augment(pixels_3HW: Tensor, seed: int, near: bool = False) -> Tensor:
    """Augment a picture randomly: crop, scale, blur, screenshot, re-encoding, flip.

    Args:
        pixels_3HW: uint8.
        seed: determines everything; pictures of the same size get the same augmentation from the same seed.
        near: stay near the picture's own scale, to preserve the traces of a decoder in single pixels: crop a window
            instead of scaling the whole.

    Returns:
        uint8 (3, height, width), with a short side of 224 or more, and of 512 or less unless a screenshot enlarges it.
    """
    draw = random.Random(seed)
    out_3HW = _near(pixels_3HW, draw) if near else _free(pixels_3HW, draw)
    if draw.random() < BLURRED:
        sigma = draw.uniform(*BLUR)
        out_3HW = blurred(out_3HW, math.ceil(2 * sigma), sigma)
    if draw.random() < SCREENSHOT_SHARE:
        out_3HW = _screened(out_3HW, _log_uniform(NEAR_SCREENSHOT_SCALES if near else SCREENSHOT_SCALES, draw), draw)
    for _ in range(draw.choice((0, 1, 1, 1, 2))):
        out_3HW = encode_again(out_3HW, draw.choice(CODECS), draw.randint(*QUALITIES))
    return out_3HW.flip(2) if draw.random() < 0.5 else out_3HW


def resize(pixels_3HW: Tensor, short_side: int) -> Tensor:
    """Scale to a short side, antialiased bicubic; uint8 (3, H, W) in and out."""
    high, wide = pixels_3HW.shape[1:]
    scale = short_side / min(high, wide)
    return scaled(pixels_3HW, max(short_side, round(high * scale)), max(short_side, round(wide * scale)))


def encode_again(pixels_3HW: Tensor, codec: str, quality: int) -> Tensor:
    """Encode and decode; uint8 (3, H, W) in and out.

    Args:
        pixels_3HW: uint8.
        codec: `jpeg` (Pillow, 4:2:0), `jpeg-444` (Pillow, 4:4:4), `jpeg-fast` (libjpeg-turbo with its fast transform,
            common on web servers; half of the pixels differ from `jpeg`) or `webp`.
        quality: of the encoder, 1 to 100.
    """
    pixels_HW3 = pixels_3HW.permute(1, 2, 0).contiguous().numpy()
    picture, file = Image.fromarray(pixels_HW3), io.BytesIO()
    if codec == "webp":
        picture.save(file, "WEBP", quality=quality, method=1)
    elif codec == "jpeg-fast":
        file.write(simplejpeg.encode_jpeg(pixels_HW3, quality=quality, colorsubsampling="420", fastdct=True))
    else:
        picture.save(file, "JPEG", quality=quality, subsampling=0 if codec == "jpeg-444" else 2)
    with Image.open(file) as again:
        return torch.from_numpy(np.array(again.convert("RGB"))).permute(2, 0, 1)


def _free(pixels_3HW: Tensor, draw: random.Random) -> Tensor:
    """Crop half of the pictures, and scale them; uint8 (3, height, width), short side 224 to 512."""
    share = draw.uniform(0.5, 1.0) if draw.random() < 0.5 else 1.0
    high, wide = (max(1, round(share * side)) for side in pixels_3HW.shape[1:])
    out_3HW = _window(pixels_3HW, high, wide, draw)
    return resize(out_3HW, max(SIDE, round(min(high, wide, MAX_SHORT_SIDE) * _log_uniform(SCALES, draw))))


def _near(pixels_3HW: Tensor, draw: random.Random) -> Tensor:
    """Scale some pictures slightly, and crop a window; uint8 (3, height, width), short side 224 or more."""
    scale = _log_uniform(NEAR_SCALES, draw) if draw.random() < 0.4 else 1.0
    side = draw.randint(*WINDOW_SIDES)
    high, wide = (min(length, round(side / scale)) for length in pixels_3HW.shape[1:])
    out_3HW = _window(pixels_3HW, high, wide, draw)
    wanted = max(SIDE, round(min(high, wide) * scale))
    return out_3HW if scale == 1.0 and min(high, wide) >= SIDE else resize(out_3HW, wanted)


def _screened(pixels_3HW: Tensor, scale: float, draw: random.Random) -> Tensor:
    """Simulate a screenshot: rescale a picture with a random filter, as an image viewer does.

    Args:
        pixels_3HW: uint8.
        scale: of the viewer; raised if the result would be smaller than a view.
        draw: selects the filter.

    Returns:
        uint8 (3, height, width).
    """
    high, wide = pixels_3HW.shape[1:]
    scale = max(scale, SIDE / min(high, wide))
    size = max(SIDE, round(wide * scale)), max(SIDE, round(high * scale))
    shown = Image.fromarray(pixels_3HW.permute(1, 2, 0).contiguous().numpy()).resize(
        size, draw.choice(SCREENSHOT_FILTERS)
    )
    return torch.from_numpy(np.array(shown)).permute(2, 0, 1)


def _window(pixels_3HW: Tensor, high: int, wide: int, draw: random.Random) -> Tensor:
    """Crop a window of a size at a random position; uint8 (3, high, wide)."""
    top, left = (draw.randint(0, have - want) for have, want in zip(pixels_3HW.shape[1:], (high, wide), strict=True))
    return pixels_3HW[:, top : top + high, left : left + wide]


def _log_uniform(bounds: tuple[float, float], draw: random.Random) -> float:
    """Draw a factor whose logarithm is uniform."""
    low, high = map(math.log, bounds)
    return math.exp(draw.uniform(low, high))
