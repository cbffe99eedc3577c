"""Pairs: a photograph and an image made from it, of the same size and encoder, so that content does not leak.

Both get the quality and subsampling of the photograph's file: re-encoding a JPEG at its own quality changes hardly
anything if its blocks stay aligned, so the two differ only in what one of them was passed through.

Source: Chen et al. 2025, arXiv:2505.14359 ("dual data alignment").

Legend: H, W of one picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from zlib import crc32

from torch import Tensor

from mole.errors import SettingsError
from pipeline.images.decode import Fault, decode
from pipeline.tune.data.align import SUBSAMPLINGS, encoded
from pipeline.tune.data.augment import resize
from pipeline.tune.data.autoencoder import Reconstructor, bounded
from pipeline.tune.data.encoding import encoding_of
from pipeline.tune.data.samples import BOUNDS, Sample, crop_to_sample, read, to_tensor

MAX_SHORT_SIDE = 512  # maximum short side; larger photographs are scaled down first
REGION_SIDE = 320  # side of the central region that a pair shows
CHROMA_BLOCK = 16  # pixels; the grid of chroma blocks at half resolution
QUALITIES = (75, 95)
"""Range of the quality of photographs that are not JPEGs, drawn by name."""


@dataclass(frozen=True)
class Pair:
    """A photograph and the image made from it, and the encoder of both.

    Attributes:
        photograph_3HW: uint8.
        again_3HW: uint8, of the same size.
        quality: of both JPEG files.
        subsampling: Pillow's number.
    """

    photograph_3HW: Tensor
    again_3HW: Tensor
    quality: int
    subsampling: int

    def files(self) -> tuple[bytes, bytes]:
        """Encode both as JPEG."""
        photograph, again = (
            encoded(side_3HW, "jpeg", self.quality, self.subsampling)
            for side_3HW in (self.photograph_3HW, self.again_3HW)
        )
        return photograph, again


def pairs(
    samples: Sequence[Sample], maker: Reconstructor, *, largest: int = MAX_SHORT_SIDE
) -> Iterator[tuple[Sample, Tensor]]:
    """Make a pair from every photograph, one by one.

    Args:
        samples: samples labelled generated are skipped.
        maker: the model that photographs are passed through.
        largest: maximum short side, pixels; half of the default gives pairs at another scale.

    Yields:
        The photograph, then the image made from it, labelled generated and with its artefact: each uint8
        (3, height, width), in the same group and encoded alike.

    Raises:
        SettingsError: an image cannot be read.
    """
    for sample in samples:
        if sample.label:
            continue
        pair = pair_of(sample, read(sample), maker, largest=largest, region=True)
        if isinstance(pair, Fault):
            raise SettingsError(f"sample {sample.uri!r} is {pair.status}: {pair.detail}")
        photograph = replace(sample, group=sample.group or f"{sample.uri}#{sample.cell}")
        made = replace(photograph, label=1, artefact=maker.kind, part=maker.name)
        for side, data in zip((photograph, made), pair.files(), strict=True):
            yield side, _decoded(data)


def pair_of(sample: Sample, data: bytes, maker: Reconstructor, *, largest: int, region: bool = False) -> Pair | Fault:
    """Make the pair of one photograph.

    Args:
        sample: the photograph; its name determines the encoder if its file does not.
        data: its file.
        maker: the model that it is passed through.
        largest: maximum short side, pixels; larger pictures are scaled down first.
        region: use its central region only, which is cheaper.

    Returns:
        The pair, or the fault of the file.
    """
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        return picture
    quality, subsampling = encoder_of(data, picture.format, name_of(sample))
    whole_3HW = to_tensor(crop_to_sample(picture.pixels_3HW, sample))
    photograph_3HW = middle(whole_3HW, largest) if region else bounded(whole_3HW, largest)
    return Pair(photograph_3HW, maker.reconstruct(photograph_3HW, largest=largest), quality, subsampling)


def middle(pixels_3HW: Tensor, largest: int = MAX_SHORT_SIDE) -> Tensor:
    """Crop the central region of a photograph at its own scale; uint8 (3, H, W), sides multiples of 8.

    It is aligned with the block grid of a JPEG, so that encoding again keeps the blocks.
    """
    if min(pixels_3HW.shape[1:]) > largest:
        pixels_3HW = resize(pixels_3HW, largest)
    whole_3HW = bounded(pixels_3HW, largest)
    high, wide = (min(REGION_SIDE, side) for side in whole_3HW.shape[1:])
    top, left = (
        (have - want) // 2 // CHROMA_BLOCK * CHROMA_BLOCK
        for have, want in zip(whole_3HW.shape[1:], (high, wide), strict=True)
    )
    return whole_3HW[:, top : top + high, left : left + wide].contiguous()


def encoder_of(data: bytes, form: str, name: str) -> tuple[int, int]:
    """Choose the encoder of a pair: the photograph's quality and subsampling, or drawn ones if it is not a JPEG.

    Args:
        data: the photograph's file.
        form: its format.
        name: seeds the draw.

    Returns:
        Quality, and Pillow's number of the subsampling.
    """
    own = encoding_of(data, form)
    low, high = QUALITIES
    drawn = crc32(name.encode())
    quality = own.quality if own.quality is not None else low + drawn % (high - low + 1)
    return quality, SUBSAMPLINGS.get(own.subsampling or "", 2)


def name_of(sample: Sample) -> str:
    """Name a pair after the location of its photograph, so that a restarted run knows which pairs exist."""
    where = f"{sample.uri}\0{sample.offset}\0{sample.cell}" + (f"\0{sample.edge}" if sample.edge else "")
    return f"{blake2b(where.encode(), digest_size=12).hexdigest()}.jpg"


def _decoded(data: bytes) -> Tensor:
    """Decode a picture that was just encoded; uint8 (3, H, W).

    Raises:
        SettingsError: it cannot be decoded, so this Pillow is broken.
    """
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        raise SettingsError(f"a picture of a pair is {picture.status}: {picture.detail}; reinstall Pillow")
    return to_tensor(picture.pixels_3HW)
