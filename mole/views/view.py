"""Views: the implementation of preprocessing that scan, training and evaluation share.

Shapes: 3 colours, H height, W width, S side of a view, C views of an image.

Arrays are NumPy's, and torch is imported only for resizing: without it a process that prepares crops saves 600 MiB and
two CPU seconds.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mole.views.preprocess import STRIP, Preprocess, middle

Pixels = NDArray[np.uint8]


class Box(NamedTuple):
    """The rectangle of a view in an image, in pixels; it exceeds the image if the view is larger."""

    top: float
    left: float
    bottom: float
    right: float


PIECE_PIXELS = 1 << 19
"""Pixels whose texture is computed at a time."""


def views(pixels_3HW: Pixels, spec: Preprocess) -> Pixels:
    """Cut the views of an image.

    Args:
        pixels_3HW: uint8, RGB, upright; the whole image, or what `spec.region` names of it.
        spec: the preprocessing.

    Returns:
        uint8 (C, 3, S, S), contiguous; if an image has fewer than C distinct crops, some are repeated; with two scales,
        an image smaller than a view gives the resized view twice.
    """
    if spec.mode != "texture" and spec.crops == len(spec.singles):
        return np.stack([view(pixels_3HW, spec, number) for number in range(spec.crops)])
    places = _places(pixels_3HW, spec)
    return np.stack([_piece(pixels_3HW, spec.size, (top, left, spec.size, spec.size)) for top, left in places])


def boxes(pixels_3HW: Pixels, spec: Preprocess) -> list[Box]:
    """Return the boxes of an image's views, in their order.

    Args:
        pixels_3HW: uint8, RGB, upright; the whole image.
        spec: the preprocessing.
    """
    high, wide = pixels_3HW.shape[-2:]
    size = spec.size
    if len(spec.singles) > 1:
        return [boxes(pixels_3HW, _scale(pixels_3HW, spec, number))[0] for number in range(len(spec.singles))]
    if spec.mode == "resize":
        short = min(high, wide)
        scaled = [spec.short_side if side == short else int(spec.short_side * side / short) for side in (high, wide)]
        tops = [middle(side, size) * own / side for side, own in zip(scaled, (high, wide), strict=True)]
        lows = [(middle(side, size) + size) * own / side for side, own in zip(scaled, (high, wide), strict=True)]
        return [Box(*tops, *lows)]
    above, before = (max(0, size - side) // 2 for side in (high, wide))
    if spec.crops == 1 and spec.mode == "crop":
        places = [(middle(max(high, size), size), middle(max(wide, size), size))]
    else:
        places = _places(pixels_3HW, spec)
    return [Box(top - above, left - before, top - above + size, left - before + size) for top, left in places]


def _places(pixels_3HW: Pixels, spec: Preprocess) -> list[tuple[int, int]]:
    return _textured(pixels_3HW, spec) if spec.mode == "texture" else _spread(pixels_3HW, spec)


def view(pixels_3HW: Pixels, spec: Preprocess, number: int = 0) -> Pixels:
    """Cut one view for training: the centre, at one scale of the spec.

    Args:
        pixels_3HW: uint8, RGB, upright.
        spec: the preprocessing.
        number: index into `spec.singles`.

    Returns:
        uint8 (3, S, S), contiguous; within 1/255 of Pillow's bicubic and torchvision's CenterCrop.
    """
    one = _scale(pixels_3HW, spec, number)
    if one.mode == "resize":
        pixels_3HW = _resize(pixels_3HW, one)
    return np.ascontiguousarray(_centre(pixels_3HW, one.size))


def _scale(pixels_3HW: Pixels, spec: Preprocess, number: int) -> Preprocess:
    """Choose a view's scale: with two scales, an image smaller than a view is not padded but resized for both.

    A padded crop would consist mostly of zeros, with a border that no larger image has, and all its pixels are in the
    resized view already, whose logit then counts alone.
    """
    singles = spec.singles
    small = len(singles) > 1 and min(pixels_3HW.shape[-2:]) < spec.size
    return singles[0 if small else number]


def _resize(pixels_3HW: Pixels, spec: Preprocess) -> Pixels:
    """Resize the short side, bicubic and antialiased, in uint8, as `spec.resize` says; of a strip only the crop."""
    height, width = pixels_3HW.shape[-2:]
    resize = spec.resize(height, width)
    if max(height, width) > STRIP * min(height, width):
        return _strip(pixels_3HW, spec, max(resize.height, resize.width))
    if min(height, width) == spec.short_side:
        return pixels_3HW
    if resize.by_torch:
        return _shrunk(pixels_3HW, resize.height, resize.width)
    image = Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))
    return np.asarray(image.resize((resize.width, resize.height), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _strip(pixels_3HW: Pixels, spec: Preprocess, other: int) -> Pixels:
    """Resize the part of a strip under the crop: the whole may be a million times as long as it is wide.

    Args:
        pixels_3HW: uint8, the whole strip.
        spec: the preprocessing.
        other: long side of the whole resized image, in pixels.

    Returns:
        uint8 (3, H, W), the short side resized and the long one cropped; within 1/255 of resizing the whole.
    """
    lies = pixels_3HW.shape[1] <= pixels_3HW.shape[2]
    short, long = sorted(pixels_3HW.shape[1:])
    scale = long / other
    begin, length = middle(other, spec.size) * scale, spec.size * scale
    reach = math.ceil(2 * max(1.0, scale)) + 1  # support of the bicubic kernel on each side of the crop
    start, stop = max(0, int(begin) - reach), min(long, math.ceil(begin + length) + reach)
    part_3HW = pixels_3HW[:, :, start:stop] if lies else pixels_3HW[:, start:stop]
    image = Image.fromarray(np.ascontiguousarray(part_3HW.transpose(1, 2, 0)))
    crop, all_of_it = (spec.size, begin - start, begin - start + length), (spec.short_side, 0.0, float(short))
    across, down = (crop, all_of_it) if lies else (all_of_it, crop)
    # Pillow's order of the two passes: the values between them are rounded to 8 bits.
    for horizontal in (True, False) if lies or short <= spec.short_side else (False, True):
        image = _squeezed(image, across if horizontal else down, horizontal=horizontal)
    return np.asarray(image).transpose(2, 0, 1)


def _squeezed(image: Image.Image, change: tuple[int, float, float], *, horizontal: bool) -> Image.Image:
    """Resize in one direction: `change` is the new length and the start and end of the source range."""
    count, begin, end = change
    if horizontal:
        return image.resize((count, image.height), Image.Resampling.BICUBIC, (begin, 0, end, image.height))
    return image.resize((image.width, count), Image.Resampling.BICUBIC, (0, begin, image.width, end))


def _shrunk(pixels_3HW: Pixels, high: int, wide: int) -> Pixels:
    import torch

    in_place = min(pixels_3HW.strides) > 0 and pixels_3HW.flags.writeable  # torch needs such arrays
    pixels = torch.from_numpy(pixels_3HW if in_place else pixels_3HW.copy())
    return torch.nn.functional.interpolate(pixels[None], (high, wide), mode="bicubic", antialias=True)[0].numpy()


def _centre(pixels_3HW: Pixels, size: int) -> Pixels:
    """Cut the centre, padded with zeros outside the image; uint8 (3, S, S)."""
    top, left = (middle(max(side, size), size) for side in pixels_3HW.shape[-2:])
    return _piece(pixels_3HW, size, (top, left, size, size))


def _piece(pixels_3HW: Pixels, size: int, window: tuple[int, int, int, int]) -> Pixels:
    """Cut a window out of an image that is padded with zeros to the size of a view.

    Args:
        pixels_3HW: uint8.
        size: the side of a view.
        window: top, left, height and width in the padded image.

    Returns:
        uint8 (3, height, width); only the window is padded, since a strip may be millions of pixels long.
    """
    top, left, high, wide = window
    (above, height), (before, width) = ((max(0, size - side) // 2, side) for side in pixels_3HW.shape[-2:])
    top, left = top - above, left - before
    low, right = min(top + high, height), min(left + wide, width)
    seen_3HW = pixels_3HW[:, max(0, top) : low, max(0, left) : right]
    if seen_3HW.shape[1:] == (high, wide):
        return seen_3HW
    piece_3HW = np.zeros((3, high, wide), np.uint8)
    piece_3HW[:, max(0, -top) : low - top, max(0, -left) : right - left] = seen_3HW
    return piece_3HW


def _spread(pixels_3HW: Pixels, spec: Preprocess) -> list[tuple[int, int]]:
    """Return top and left of crops spread evenly from edge to edge, row by row."""
    each = math.isqrt(spec.crops)
    tops, lefts = (_evenly(max(0, side - spec.size), each) for side in pixels_3HW.shape[-2:])
    return [(top, left) for top in tops for left in lefts]


def _textured(pixels_3HW: Pixels, spec: Preprocess) -> list[tuple[int, int]]:
    """Return top and left of the crops with the most texture, on a grid with a stride of at most half a view.

    Source: TextureCrop, Konstantinidou et al. 2024, arXiv:2407.15500; the measure is the mean absolute difference of
    neighbouring pixels in the sum of the channels, which is exact in integers.
    """
    stride = spec.size // 2
    sides = [max(side, spec.size) for side in pixels_3HW.shape[-2:]]
    tops, lefts = (_evenly(side - spec.size, 1 - (spec.size - side) // stride) for side in sides)
    if sides[0] > sides[1]:  # rows cost more than columns, and the measure is symmetric
        texture_TL = _texture(pixels_3HW.swapaxes(1, 2), spec.size, lefts, tops).T
    else:
        texture_TL = _texture(pixels_3HW, spec.size, tops, lefts)
    order = np.argsort(-texture_TL, axis=None, kind="stable")[: spec.crops]
    places = [(tops[place // len(lefts)], lefts[place % len(lefts)]) for place in order.tolist()]
    return [places[number % len(places)] for number in range(spec.crops)]


def _evenly(room: int, count: int) -> list[int]:
    """Spread `count` offsets evenly over [0, room]; the middle for one."""
    return [room // 2] if count == 1 else [round(room * number / (count - 1)) for number in range(count)]


def _texture(pixels_3HW: Pixels, size: int, tops: list[int], lefts: list[int]) -> NDArray[np.int64]:
    """Sum the differences of neighbouring pixels in every crop.

    Args:
        pixels_3HW: uint8; padded with zeros if a side is shorter than a view.
        size: the side of a crop.
        tops: T vertical offsets of crops.
        lefts: L horizontal offsets of crops.

    Returns:
        int64 (T, L). The image is processed in pieces, so that no summed-area table of all its pixels is held.
    """
    rows, columns = (np.unique([0, *edges, *(edge + size for edge in edges)]) for edges in (tops, lefts))
    bands = [_roughness(pixels_3HW, size, (top, low), int(columns[-1])) for top, low in pairwise(rows.tolist())]
    summed = np.zeros((len(rows), len(columns)), np.int64)  # summed-area table
    summed[1:, 1:] = [np.add.reduceat(rough_W, columns[:-1]) for rough_W in bands]
    summed = summed.cumsum(0).cumsum(1)
    top_T, left_L = np.searchsorted(rows, tops), np.searchsorted(columns, lefts)
    low_T, right_L = (
        np.searchsorted(edges, np.add(begins, size)) for edges, begins in ((rows, tops), (columns, lefts))
    )
    lower_TW, upper_TW = summed[low_T], summed[top_T]
    texture_TL: NDArray[np.int64] = (
        lower_TW[:, right_L] - upper_TW[:, right_L] - lower_TW[:, left_L] + upper_TW[:, left_L]
    )
    return texture_TL


def _roughness(pixels_3HW: Pixels, size: int, rows: tuple[int, int], width: int) -> NDArray[np.int64]:
    """Sum over some rows the absolute difference of each pixel to the one above and the one to the left.

    Args:
        pixels_3HW: uint8; padded with zeros if a side is shorter than a view.
        size: the side of a view.
        rows: the first, and the one after the last.
        width: width of the padded image.

    Returns:
        int64 (W,); a single difference, summed over three channels, fits 16 bits.
    """
    rough_W = np.zeros(width, np.int64)
    # Inside the padding all differences are zero: only its first row and column after the image count.
    begins = [max(0, size - side) // 2 for side in pixels_3HW.shape[1:]]
    top, low = max(rows[0], begins[0]), min(rows[1], begins[0] + pixels_3HW.shape[1] + 1)
    end = min(width, begins[1] + pixels_3HW.shape[2] + 1)
    above, step = min(top, 1), max(1, PIECE_PIXELS // max(1, low - top))
    for left in range(begins[1], end, step):
        before, right = min(left, 1), min(left + step, end)
        window = (top - above, left - before, low - top + above, right - left + before)
        red_HW, green_HW, blue_HW = _piece(pixels_3HW, size, window)
        grey_HW = red_HW.astype(np.int16) + green_HW + blue_HW
        down = np.abs(np.diff(grey_HW, axis=0)).sum(0, dtype=np.int32)[before:]
        across = np.abs(np.diff(grey_HW, axis=1))[above:].sum(0, dtype=np.int32)
        rough_W[left:right] += down
        rough_W[left + 1 - before : right] += across
    return rough_W
