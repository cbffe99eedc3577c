"""Perturbation: named transforms that are applied to a picture before it is scored, the same for both classes.

Columns and JSON keys call a perturbation `delivery`, and `original`, which changes nothing, `shipped`.

Legend: H, W of one picture, h, w after the perturbation.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mole.errors import SettingsError
from pipeline.tune.data.augment import ALIGNED_QUALITY, ALIGNED_SIDE, align, encode_again, resize
from pipeline.tune.data.pixels import blurred

ORIGINAL, ALIGNED, NATIVE = "shipped", "aligned", "native"
"""Names as tables and JSON files store them; `original` is the first one's name on the command line."""
Perturb = Callable[[Tensor, int], Tensor]
"""Maps a picture, uint8 (3, H, W), and a seed to uint8 (3, h, w)."""


def stored_name(name: str) -> str:
    """Return the name under which tables and JSON files store a perturbation: `shipped` for `original`."""
    return ORIGINAL if name == "original" else name


def shown_name(name: str) -> str:
    """Return a stored name as people read it: `original` for `shipped`, which means another thing of a detector."""
    return "original" if name == ORIGINAL else name


def perturbation(name: str) -> Perturb:
    """Return the perturbation with a name.

    Args:
        name: `original` or `shipped` (none), `aligned` (short side 256, JPEG 90), `native` (central 256 x 256 crop,
            JPEG 90), or one of these with a number: `jpeg-50` and `webp-80` (quality), `blur-1` (sigma, pixels),
            `resize-0.5` (scale factor), `crop-0.8` (central crop, share of both sides), `noise-5` (standard deviation,
            of 255).

    Raises:
        SettingsError: there is no such perturbation, or its number is out of bounds.
    """
    name = stored_name(name)
    if name in WHOLE:
        return WHOLE[name]
    kind, _, number = name.partition("-")
    if kind not in KINDS:
        known = ["original", ALIGNED, NATIVE, *(f"{name}-<number>" for name in KINDS)]
        raise SettingsError(f"there is no perturbation {name!r}; choose one of {', '.join(known)}")
    act, low, high = KINDS[kind]
    try:
        amount = float(number)
    except ValueError as reason:
        raise SettingsError(f"perturbation {name!r} needs a number after the dash, got {number!r}") from reason
    if not low <= amount <= high:
        raise SettingsError(f"the number of perturbation {name!r} must lie in [{low:g}, {high:g}]")
    return partial(act, amount)


def _original(pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Return a picture unchanged; uint8 (3, H, W)."""
    return pixels_3HW


def _aligned(pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Give every picture one size and one encoding; uint8 (3, h, w)."""
    return align(pixels_3HW)


def _native(pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Give every picture one encoding at its own scale; uint8 (3, h, w), cropped to the centre if larger."""
    high, wide = (min(ALIGNED_SIDE, side) for side in pixels_3HW.shape[1:])
    return encode_again(_middle(pixels_3HW, high, wide), "jpeg", ALIGNED_QUALITY)


def _jpeg(quality: float, pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Encode as JPEG; uint8 (3, H, W)."""
    return encode_again(pixels_3HW, "jpeg", round(quality))


def _webp(quality: float, pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Encode as WebP; uint8 (3, H, W)."""
    return encode_again(pixels_3HW, "webp", round(quality))


def _blur(sigma: float, pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Blur; uint8 (3, H, W)."""
    return blurred(pixels_3HW, math.ceil(3 * sigma), sigma)


def _resize(scale: float, pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Scale both sides; uint8 (3, h, w)."""
    return resize(pixels_3HW, max(1, round(min(pixels_3HW.shape[1:]) * scale)))


def _crop(share: float, pixels_3HW: Tensor, _seed: int) -> Tensor:
    """Crop to the centre; uint8 (3, h, w)."""
    high, wide = (max(1, round(side * share)) for side in pixels_3HW.shape[1:])
    return _middle(pixels_3HW, high, wide)


def _middle(pixels_3HW: Tensor, high: int, wide: int) -> Tensor:
    """Crop to the centre; uint8 (3, high, wide), neither larger than the picture."""
    top, left = (pixels_3HW.shape[1] - high) // 2, (pixels_3HW.shape[2] - wide) // 2
    return pixels_3HW[:, top : top + high, left : left + wide]


def _noise(deviation: float, pixels_3HW: Tensor, seed: int) -> Tensor:
    """Add Gaussian noise, the same for the same seed; uint8 (3, H, W)."""
    noise_3HW = np.random.default_rng(seed).standard_normal(tuple(pixels_3HW.shape), np.float32) * deviation
    return (pixels_3HW.float() + torch.from_numpy(noise_3HW)).round().clamp(0, 255).to(torch.uint8)


WHOLE: dict[str, Perturb] = {ORIGINAL: _original, ALIGNED: _aligned, NATIVE: _native}
KINDS: dict[str, tuple[Callable[[float, Tensor, int], Tensor], float, float]] = {
    "jpeg": (_jpeg, 1, 100),
    "webp": (_webp, 1, 100),
    "blur": (_blur, 0.1, 20),
    "resize": (_resize, 0.05, 8),
    "crop": (_crop, 0.05, 1),
    "noise": (_noise, 0, 100),
}
"""The transform of each kind, and the bounds of its number."""
