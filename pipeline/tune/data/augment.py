"""Augment and align: both classes go through one and the same chain, so that format, size and quality tell nothing.

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
SHORT_SIDES = (224, 448)  # log-uniform
QUALITIES = (40, 98)
BLUR = (0.1, 2.0)


def align(pixels_3HW: Tensor) -> Tensor:
    """Give every image one size and one JPEG encoding, for evaluation; uint8 in and out, short side 256."""
    return encode_again(resize(pixels_3HW, ALIGNED_SIDE), "jpeg", ALIGNED_QUALITY)


def augment(pixels_3HW: Tensor, seed: int) -> Tensor:
    """Send one image through a random delivery: crop, resize, blur, encode, flip.

    Args:
        pixels_3HW: uint8.
        seed: decides everything; the same seed gives the same bytes.

    Returns:
        uint8 (3, height, width) with a short side of 224 to 448.
    """
    draw = random.Random(seed)
    out_3HW = _crop(pixels_3HW, draw)
    low, high = SHORT_SIDES
    out_3HW = resize(out_3HW, round(math.exp(draw.uniform(math.log(low), math.log(high)))))
    if draw.random() < 0.3:
        sigma = draw.uniform(*BLUR)
        out_3HW = blurred(out_3HW, math.ceil(2 * sigma), sigma)
    for _ in range(draw.choice((0, 1, 1, 1, 2))):
        out_3HW = encode_again(out_3HW, draw.choice(("jpeg", "jpeg-fast", "webp")), draw.randint(*QUALITIES))
    return out_3HW.flip(2) if draw.random() < 0.5 else out_3HW


def resize(pixels_3HW: Tensor, short_side: int) -> Tensor:
    """Scale the short side, antialiased bicubic; uint8 (3, H, W) in and out."""
    high, wide = pixels_3HW.shape[1:]
    scale = short_side / min(high, wide)
    return scaled(pixels_3HW, max(short_side, round(high * scale)), max(short_side, round(wide * scale)))


def encode_again(pixels_3HW: Tensor, codec: str, quality: int) -> Tensor:
    """Encode and decode; uint8 in and out, same size.

    Args:
        pixels_3HW: uint8.
        codec: `jpeg` (Pillow's encoder, chroma halved), `jpeg-444` (chroma kept), `jpeg-fast` (libjpeg-turbo with its
            fast transform, as web servers use; other bytes in half of the pixels) or `webp`.
        quality: the encoder's, 1 to 100.
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


def _crop(pixels_3HW: Tensor, draw: random.Random) -> Tensor:
    """Cut a random rectangle with at least half of each side; uint8 (3, rows, columns)."""
    high, wide = pixels_3HW.shape[1:]
    share = draw.uniform(0.5, 1.0) if draw.random() < 0.5 else 1.0
    rows, columns = max(1, round(high * share)), max(1, round(wide * share))
    top, left = draw.randint(0, high - rows), draw.randint(0, wide - columns)
    return pixels_3HW[:, top : top + rows, left : left + columns]
