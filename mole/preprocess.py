"""Preprocessing: one spec, stored with the weights, and the one implementation that scan, training and evaluation share.

Shapes: B images, 3 colours, H height, W width, S side of the view.
"""

import hashlib
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
VERSION = 1
"""Counted up when the same spec would give other pixels; part of the fingerprint."""


class Preprocess(BaseModel):
    """How an image becomes what the tower sees.

    Attributes:
        mode: `crop` cuts the centre without resizing and pads a smaller image with zeros; `resize` brings the short
            side to `short_side` first.
        size: S, the side of the view in pixels.
        short_side: the short side after resizing, pixels; only `resize` looks at it.
        mean: taken off each colour, of pixels in [0, 1].
        std: each colour is divided by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["crop", "resize"] = "crop"
    size: PositiveInt = 224
    short_side: PositiveInt = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the model would see other numbers."""
        return hashlib.sha256(f"{VERSION} {self.model_dump_json()}".encode()).hexdigest()[:16]


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
    target = [short_side, other] if height <= width else [other, short_side]
    return tv.resize(pixels_3HW, target, interpolation=tv.InterpolationMode.BICUBIC, antialias=True)


def _centre(pixels_3HW: Tensor, size: int) -> Tensor:
    """Cut the centre; what lies outside the image is zero."""
    height, width = pixels_3HW.shape[-2:]
    if height < size or width < size:
        return tv.center_crop(pixels_3HW, [size, size])
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
