"""The view: what the model sees of an image; the one implementation that scan, training and evaluation share.

Shapes: B images, 3 colours, H height, W width, S side of the view.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mole.preprocess import Preprocess


def view(pixels_3HW: Tensor, spec: Preprocess) -> Tensor:
    """Cut the view that the model sees out of an image.

    Args:
        pixels_3HW: uint8, RGB, upright.
        spec: which view.

    Returns:
        uint8 (3, S, S), contiguous; at most 1/255 from Pillow's bicubic and torchvision's CenterCrop.
    """
    if spec.mode == "resize":
        pixels_3HW = _resize(pixels_3HW, spec.short_side)
    return _centre(pixels_3HW, spec.size).contiguous()


def _resize(pixels_3HW: Tensor, short_side: int) -> Tensor:
    """Bring the short side to a length, bicubic and antialiased, in uint8.

    torch is up to eight times faster than Pillow and at most 1/255 from it where it halves an image or more. Below
    that, one value in 100,000 differed by 2/255, and Pillow shrinks tall images in the other order: there it is
    Pillow itself.
    """
    height, width = pixels_3HW.shape[-2:]
    short, long = sorted((height, width))
    if short == short_side:
        return pixels_3HW
    other = int(short_side * long / short)  # torchvision's rounding
    high, wide = (short_side, other) if height <= width else (other, short_side)
    if short >= 2 * short_side and height <= 2 * width:
        return functional.interpolate(pixels_3HW[None], (high, wide), mode="bicubic", antialias=True)[0]
    image = Image.fromarray(pixels_3HW.permute(1, 2, 0).contiguous().numpy())
    return torch.from_numpy(np.array(image.resize((wide, high), Image.Resampling.BICUBIC))).permute(2, 0, 1)


def _centre(pixels_3HW: Tensor, size: int) -> Tensor:
    """Cut the centre; what lies outside the image is zero."""
    height, width = pixels_3HW.shape[-2:]
    high, wide = max(0, size - height), max(0, size - width)
    if high or wide:
        pixels_3HW = functional.pad(pixels_3HW, (wide // 2, (wide + 1) // 2, high // 2, (high + 1) // 2))
        height, width = height + high, width + wide
    top, left = round((height - size) / 2.0), round((width - size) / 2.0)
    return pixels_3HW[:, top : top + size, left : left + size]


def normalise(pixels_B3SS: Tensor, spec: Preprocess) -> Tensor:
    """Bring views to the numbers that the tower was trained on, on whatever device they lie.

    Args:
        pixels_B3SS: uint8.
        spec: mean and std.

    Returns:
        float32 (B, 3, S, S).
    """
    mean = torch.tensor(spec.mean, device=pixels_B3SS.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=pixels_B3SS.device).view(3, 1, 1)
    return (pixels_B3SS.float() / 255 - mean) / std
