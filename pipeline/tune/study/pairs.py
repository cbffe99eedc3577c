"""Pairs: a photograph and its own reconstruction, through one and the same delivery, so that content tells nothing.

What a decoder leaves lies in single pixels, so pairs keep the scale of the photograph or nearly so.

Legend: H, W of one picture.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from pipeline.tune.data.augment import encode_again, resize
from pipeline.tune.data.autoencoder import FACTOR, Reconstructor
from pipeline.tune.data.pixels import blurred
from pipeline.tune.data.samples import Sample, load

LARGEST = 512  # the short side above which a photograph is brought down first
REGION = 320  # the side of the region in its middle that is reconstructed
SCALES = (0.7, 1.4)  # log-uniform, for two pairs in five
SHORT_SIDES = (224, 448)  # log-uniform, for half of what is no pair
WINDOW = (224, 288)  # the side of the window that is cut out and encoded
BLUR, BLURRED = (0.1, 1.5), 0.15
QUALITIES = (50, 98)
CODECS = ("jpeg", "jpeg-fast", "jpeg-444", "webp")
MATCHED = ("jpeg", 90)
"""The last encoder of both pictures of a pair where they are judged."""


def pairs(samples: Sequence[Sample], autoencoder: Reconstructor) -> Iterator[tuple[Sample, Tensor]]:
    """Make a pair of every photograph, one by one.

    Args:
        samples: those labelled generated are passed over.
        autoencoder: what reconstructs.

    Yields:
        The photograph, then its reconstruction, labelled generated: each uint8 (3, height, width), of one group.
    """
    for sample in samples:
        if sample.label == 0:
            photograph = replace(sample, group=f"{sample.uri}#{sample.cell}")
            pixels_3HW = region(load(sample))
            yield photograph, pixels_3HW
            yield replace(photograph, label=1), autoencoder.reconstruct(pixels_3HW, largest=LARGEST)


def region(pixels_3HW: Tensor) -> Tensor:
    """Take what is reconstructed of a photograph: its middle at its own scale; uint8, sides multiples of 8."""
    if min(pixels_3HW.shape[1:]) > LARGEST:
        pixels_3HW = resize(pixels_3HW, LARGEST)
    high, wide = (min(REGION, side - side % FACTOR) for side in pixels_3HW.shape[1:])
    top, left = (pixels_3HW.shape[1] - high) // 2, (pixels_3HW.shape[2] - wide) // 2
    return pixels_3HW[:, top : top + high, left : left + wide].contiguous()


def matched(pixels_3HW: Tensor) -> Tensor:
    """Give both pictures of a pair the same last encoder; uint8 in and out, same size."""
    return encode_again(pixels_3HW, *MATCHED)


def deliver_near(pixels_3HW: Tensor, seed: int) -> Tensor:
    """Send a picture of a pair through a random delivery that stays near its own scale.

    Args:
        pixels_3HW: uint8.
        seed: decides everything; both pictures of a pair get the same.

    Returns:
        uint8 (3, height, width), sides of 224 to 288 where the picture has them.
    """
    draw = random.Random(seed)
    if draw.random() < 0.4:
        scale = math.exp(draw.uniform(*map(math.log, SCALES)))
        pixels_3HW = resize(pixels_3HW, max(SHORT_SIDES[0], round(min(pixels_3HW.shape[1:]) * scale)))
    return _finish(pixels_3HW, draw)


def deliver(pixels_3HW: Tensor, seed: int) -> Tensor:
    """Send any picture through a random delivery: its own scale or another, a window, blur, encoders, a flip.

    Args:
        pixels_3HW: uint8.
        seed: decides everything.

    Returns:
        uint8 (3, height, width), sides of 224 to 288 where the picture has them.
    """
    draw = random.Random(seed)
    if draw.random() < 0.5:
        short_side = round(math.exp(draw.uniform(*map(math.log, SHORT_SIDES))))
        if draw.random() < 0.5:
            pixels_3HW = _crop(pixels_3HW, draw)
        pixels_3HW = resize(pixels_3HW, short_side)
    return _finish(pixels_3HW, draw)


def _finish(pixels_3HW: Tensor, draw: random.Random) -> Tensor:
    """Cut a window, blur, encode, flip; uint8 (3, height, width)."""
    side = draw.randint(*WINDOW)
    high, wide = (min(side, length) for length in pixels_3HW.shape[1:])
    top, left = draw.randint(0, pixels_3HW.shape[1] - high), draw.randint(0, pixels_3HW.shape[2] - wide)
    out_3HW = pixels_3HW[:, top : top + high, left : left + wide]
    if draw.random() < BLURRED:
        sigma = draw.uniform(*BLUR)
        out_3HW = blurred(out_3HW, math.ceil(2 * sigma), sigma)
    for _ in range(draw.choice((0, 1, 1, 1, 2))):
        out_3HW = encode_again(out_3HW, draw.choice(CODECS), draw.randint(*QUALITIES))
    if draw.random() < 0.5:
        out_3HW = out_3HW.flip(2)
    return resize(out_3HW, WINDOW[0]) if min(out_3HW.shape[1:]) < WINDOW[0] else out_3HW


def _crop(pixels_3HW: Tensor, draw: random.Random) -> Tensor:
    """Cut a random rectangle with at least half of each side; uint8 (3, rows, columns)."""
    high, wide = pixels_3HW.shape[1:]
    share = draw.uniform(0.5, 1.0)
    rows, columns = max(1, round(high * share)), max(1, round(wide * share))
    top, left = draw.randint(0, high - rows), draw.randint(0, wide - columns)
    return pixels_3HW[:, top : top + rows, left : left + columns]
