"""The view: what the model sees of an image; the one implementation that scan, training and evaluation share.

Shapes: 3 colours, H height, W width, S side of a view, C views of an image.

Arrays are numpy's, and torch is imported by a `resize` alone: a process that prepares crops has 600 MiB and two seconds
of a core to spare without it.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mole.preprocess import Preprocess, middle

Pixels = NDArray[np.uint8]


def views(pixels_3HW: Pixels, spec: Preprocess) -> Pixels:
    """Cut the views that the model judges an image by.

    Args:
        pixels_3HW: uint8, RGB, upright; the whole image, or `spec.window` of it.
        spec: which views.

    Returns:
        uint8 (C, 3, S, S), contiguous; an image with fewer places for a crop than C shows some twice.
    """
    if spec.mode == "resize" or (spec.mode == "crop" and spec.crops == 1):
        return view(pixels_3HW, spec)[None]
    pixels_3HW = _padded(pixels_3HW, spec.size)
    places = _textured(pixels_3HW, spec) if spec.mode == "texture" else _spread(pixels_3HW, spec)
    return np.stack([pixels_3HW[:, top : top + spec.size, left : left + spec.size] for top, left in places])


def view(pixels_3HW: Pixels, spec: Preprocess) -> Pixels:
    """Cut the one view that a training sees out of an image: the centre, at the scale of the spec.

    Args:
        pixels_3HW: uint8, RGB, upright.
        spec: which view.

    Returns:
        uint8 (3, S, S), contiguous; at most 1/255 from Pillow's bicubic and torchvision's CenterCrop.
    """
    if spec.mode == "resize":
        pixels_3HW = _resize(pixels_3HW, spec.short_side)
    return np.ascontiguousarray(_centre(pixels_3HW, spec.size))


def _resize(pixels_3HW: Pixels, short_side: int) -> Pixels:
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
        return _shrunk(pixels_3HW, high, wide)
    image = Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))
    return np.asarray(image.resize((wide, high), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _shrunk(pixels_3HW: Pixels, high: int, wide: int) -> Pixels:
    import torch

    in_place = min(pixels_3HW.strides) > 0 and pixels_3HW.flags.writeable  # torch has no others
    pixels = torch.from_numpy(pixels_3HW if in_place else pixels_3HW.copy())
    return torch.nn.functional.interpolate(pixels[None], (high, wide), mode="bicubic", antialias=True)[0].numpy()


def _centre(pixels_3HW: Pixels, size: int) -> Pixels:
    """Cut the centre; what lies outside the image is zero."""
    pixels_3HW = _padded(pixels_3HW, size)
    height, width = pixels_3HW.shape[-2:]
    top, left = middle(height, size), middle(width, size)
    return pixels_3HW[:, top : top + size, left : left + size]


def _padded(pixels_3HW: Pixels, size: int) -> Pixels:
    """Lay zeros around an image that is smaller than a view."""
    high, wide = (max(0, size - side) for side in pixels_3HW.shape[-2:])
    if not high and not wide:
        return pixels_3HW
    return np.pad(pixels_3HW, ((0, 0), (high // 2, (high + 1) // 2), (wide // 2, (wide + 1) // 2)))


def _spread(pixels_3HW: Pixels, spec: Preprocess) -> list[tuple[int, int]]:
    """Place crops evenly from edge to edge, row by row: top and left of each."""
    each = math.isqrt(spec.crops)
    tops, lefts = (_evenly(side - spec.size, each) for side in pixels_3HW.shape[-2:])
    return [(top, left) for top in tops for left in lefts]


def _textured(pixels_3HW: Pixels, spec: Preprocess) -> list[tuple[int, int]]:
    """Place crops where neighbouring pixels differ most, among places half a view apart at most: the most first.

    After: TextureCrop, Konstantinidou et al. 2024, arXiv:2407.15500; the measure is the mean absolute difference of
    neighbours in the sum of the colours, which is exact in integers.
    """
    grey_HW = pixels_3HW.sum(axis=0, dtype=np.int32)
    rough_HW = np.zeros_like(grey_HW)
    rough_HW[1:] += np.abs(np.diff(grey_HW, axis=0))
    rough_HW[:, 1:] += np.abs(np.diff(grey_HW, axis=1))
    summed = np.pad(rough_HW.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
    stride = spec.size // 2
    tops, lefts = (_evenly(side - spec.size, 1 - (spec.size - side) // stride) for side in pixels_3HW.shape[-2:])
    places = [(top, left) for top in tops for left in lefts]
    texture = {place: _box(summed, place, spec.size) for place in places}
    most = sorted(places, key=lambda place: -texture[place])[: spec.crops]
    return [most[number % len(most)] for number in range(spec.crops)]


def _evenly(room: int, count: int) -> list[int]:
    """Spread places over the room that a crop has along one side; the middle where there is one."""
    return [room // 2] if count == 1 else [round(room * number / (count - 1)) for number in range(count)]


def _box(summed: NDArray[np.int64], place: tuple[int, int], size: int) -> int:
    """Add up what lies under a crop, from sums over everything above and to the left."""
    top, left = place
    low, right = top + size, left + size
    return int(summed[low, right] - summed[top, right] - summed[low, left] + summed[top, left])
