"""Pixels: scaling and blurring that is bit-identical to torchvision, without importing torchvision.

Its imports, which include torch's compiler, would cost each process that makes views two seconds of a core.

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
    """Blur a picture with a Gaussian, reflecting at the edges.

    Args:
        pixels_3HW: uint8; each side is longer than the reach.
        reach: radius of the kernel, pixels.
        sigma: in torchvision's spacing, where neighbours are 1 / sqrt(2) apart.

    Returns:
        uint8 (3, H, W).
    """
    end = reach / math.sqrt(2.0)
    place = torch.linspace(-end, end, steps=2 * reach + 1)
    kernel = torch.softmax(place.div(sigma).pow(2).neg(), dim=0)
    kernel_311 = (kernel.unsqueeze(-1) * kernel).expand(3, 1, -1, -1)
    wide_13HW = functional.pad(pixels_3HW[None].float(), [reach] * 4, mode="reflect")
    return functional.conv2d(wide_13HW, kernel_311, groups=3)[0].round_().to(torch.uint8)
