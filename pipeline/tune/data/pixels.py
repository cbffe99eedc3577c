"""Pixels: a picture scaled and blurred, as torchvision does it to the bit, without what torchvision imports.

That is torch's compiler among other things: two seconds of a core in each process that delivers or views a picture.

Legend: H, W of one picture.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def scaled(pixels_3HW: Tensor, high: int, wide: int) -> Tensor:
    """Scale a picture, antialiased bicubic; uint8 (3, H, W) in, (3, high, wide) out."""
    if tuple(pixels_3HW.shape[1:]) == (high, wide):
        return pixels_3HW
    return functional.interpolate(pixels_3HW[None], (high, wide), mode="bicubic", antialias=True)[0]


def blurred(pixels_3HW: Tensor, reach: int, sigma: float) -> Tensor:
    """Blur a picture with a Gaussian; edges are mirrored.

    Args:
        pixels_3HW: uint8; each side is longer than the reach.
        reach: pixels on each side that count.
        sigma: in torchvision's own spacing, where neighbours lie 1 / sqrt(2) apart.

    Returns:
        uint8 (3, H, W).
    """
    end = reach / math.sqrt(2.0)
    place = torch.linspace(-end, end, steps=2 * reach + 1)
    kernel = torch.softmax(place.div(sigma).pow(2).neg(), dim=0)
    kernel_311 = (kernel.unsqueeze(-1) * kernel).expand(3, 1, -1, -1)
    wide_13HW = functional.pad(pixels_3HW[None].float(), [reach] * 4, mode="reflect")
    return functional.conv2d(wide_13HW, kernel_311, groups=3)[0].round_().to(torch.uint8)
