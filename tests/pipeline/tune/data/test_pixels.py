"""Scaling and blurring are torchvision's, to the bit."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as pixel
from torchvision.transforms.v2.functional import InterpolationMode

from pipeline.tune.data.pixels import blurred, scaled

SIZES = [(300, 301), (64, 500), (501, 67), (33, 17)]


def drawn(size: tuple[int, int], layout: str) -> Tensor:
    """A picture of noise: in one piece, as decoders lay it out, or cut from a larger one."""
    high, wide = size
    chance = torch.Generator().manual_seed(high)
    if layout == "rows":
        return torch.randint(0, 256, (3, high, wide), dtype=torch.uint8, generator=chance)
    pixels_HW3 = torch.randint(0, 256, (high + 9, wide + 5, 3), dtype=torch.uint8, generator=chance)
    return pixels_HW3.permute(2, 0, 1)[:, 4 : 4 + high, 2 : 2 + wide]


@pytest.mark.parametrize("layout", ["rows", "cut"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [(40, 50), (224, 336), (300, 301)])
def test_scaling_is_torchvisions(size: tuple[int, int], layout: str, target: tuple[int, int]) -> None:
    pixels_3HW = drawn(size, layout)
    expected = pixel.resize(pixels_3HW, list(target), InterpolationMode.BICUBIC, antialias=True)
    assert torch.equal(scaled(pixels_3HW, *target), expected)


@pytest.mark.parametrize("layout", ["rows", "cut"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("reach", "sigma"), [(1, 0.1), (2, 0.77), (4, 2.0), (6, 1.9)])
def test_blurring_is_torchvisions(size: tuple[int, int], layout: str, reach: int, sigma: float) -> None:
    pixels_3HW = drawn(size, layout)
    assert torch.equal(
        blurred(pixels_3HW, reach, sigma), pixel.gaussian_blur(pixels_3HW, [2 * reach + 1] * 2, [sigma] * 2)
    )
