"""The view: what the model sees of an image; the one implementation that scan, training and evaluation share.

Shapes: B images, 3 colours, H height, W width, S side of the view.
"""

import torch
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
    """Bring the short side to a length, bicubic and antialiased, in uint8."""
    height, width = pixels_3HW.shape[-2:]
    short, long = sorted((height, width))
    if short == short_side:
        return pixels_3HW
    other = int(short_side * long / short)  # torchvision's rounding
    target = (short_side, other) if height <= width else (other, short_side)
    return functional.interpolate(pixels_3HW[None], target, mode="bicubic", antialias=True)[0]


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
