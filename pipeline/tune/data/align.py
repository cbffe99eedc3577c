"""Alignment: give both classes the formats, qualities and sizes of real photographs, so that these do not leak.

Legend: H, W of one picture.
"""

import io
import random
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from torch import Tensor

from mole.errors import SettingsError
from pipeline.images.decode import Fault, decode
from pipeline.records import Status
from pipeline.tune.data.pixels import scaled
from pipeline.tune.data.samples import BOUNDS, to_tensor

SIZE_PERCENTILE = 5
"""Percentile of the short side in each class; larger sizes are not drawn, so that few pictures must be enlarged."""

UNKNOWN_QUALITY = 80
"""Assumed quality of a WebP, which does not record it: libwebp's default is 75, photographs on the web are above."""

SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
LOSSLESS = frozenset(["png", "bmp", "tiff", "gif"])


@dataclass(frozen=True)
class Form:
    """The file properties of one photograph; its name and fields are part of cache keys.

    Attributes:
        format: `jpeg`, `webp` or `png`.
        quality: the encoder's.
        subsampling: of a JPEG's chroma, Pillow's number.
        width: pixels.
        height: pixels.
    """

    format: str
    quality: int
    subsampling: int
    width: int
    height: int


@dataclass(frozen=True)
class Aligner:
    """Gives a picture the file properties of a random photograph; plain data, so that it can be sent to workers.

    Its name and fields are part of cache keys.

    Attributes:
        forms: properties of the photographs, drawn with equal probability.
        most_side: maximum short side, pixels; larger forms are scaled down.
    """

    forms: tuple[Form, ...]
    most_side: int

    def apply(self, pixels_3HW: Tensor, seed: int) -> Tensor:
        """Align a picture.

        Args:
            pixels_3HW: uint8.
            seed: selects the form; the same seed gives the same pixels.

        Returns:
            uint8 (3, height, width), in the size of the drawn form.

        Raises:
            SettingsError: the encoded picture cannot be decoded, so this Pillow is broken.
        """
        again = decode(self.encoded(pixels_3HW, seed), BOUNDS)
        if isinstance(again, Fault):
            raise SettingsError(f"an aligned image is {again.status}: {again.detail}; reinstall Pillow")
        return to_tensor(again.pixels_3HW)

    def encoded(self, pixels_3HW: Tensor, seed: int) -> bytes:
        """Crop a picture to the drawn aspect ratio, scale it to the drawn size and encode it; uint8 (3, H, W)."""
        form = random.Random(seed).choice(self.forms)
        scale = min(1.0, self.most_side / min(form.width, form.height))
        size = max(1, round(form.height * scale)), max(1, round(form.width * scale))
        return encoded(crop_and_resize(pixels_3HW, *size), form.format, form.quality, form.subsampling)


def aligner(reals: pa.Table, fakes: pa.Table | None = None) -> Aligner:
    """Build an aligner from the file properties of photographs.

    Args:
        reals: survey rows of the photographs; faults are skipped.
        fakes: survey rows of generated images; if given, sizes that would require enlarging most of them are not drawn,
            since enlarging leaves traces that leak the class.

    Raises:
        SettingsError: no photograph could be read.
    """
    sound = _sound(reals)
    if not sound.num_rows:
        raise SettingsError(
            f"alignment needs readable photographs, and none of {reals.num_rows:,} is readable; add some"
        )
    forms = tuple(_form(row) for row in sound.to_pylist())
    tables = [sound] if fakes is None else [sound, _sound(fakes)]
    shorts = [np.minimum(np.array(table["width"]), np.array(table["height"])) for table in tables if table.num_rows]
    return Aligner(forms, int(min(np.percentile(short, SIZE_PERCENTILE) for short in shorts)))


def crop_and_resize(pixels_3HW: Tensor, height: int, width: int) -> Tensor:
    """Crop the centre to an aspect ratio and scale it, antialiased bicubic; uint8 (3, H, W) to (3, height, width)."""
    high, wide = pixels_3HW.shape[1:]
    scale = min(high / height, wide / width)
    cut_high, cut_wide = min(high, max(1, round(height * scale))), min(wide, max(1, round(width * scale)))
    top, left = round((high - cut_high) / 2), round((wide - cut_wide) / 2)
    return scaled(pixels_3HW[:, top : top + cut_high, left : left + cut_wide], height, width)


def encoded(pixels_3HW: Tensor, form: str, quality: int, subsampling: int) -> bytes:
    """Encode with Pillow, so that every file comes from the same encoder.

    Args:
        pixels_3HW: uint8 (3, H, W).
        form: `jpeg`, `webp` or `png`.
        quality: 1 to 100, for lossy formats.
        subsampling: of a JPEG, in Pillow's numbering: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
    """
    picture = Image.fromarray(pixels_3HW.permute(1, 2, 0).contiguous().numpy())
    held = io.BytesIO()
    match form:
        case "jpeg":
            picture.save(held, "JPEG", quality=quality, subsampling=subsampling)
        case "webp":
            picture.save(held, "WEBP", quality=quality)
        case _:
            picture.save(held, "PNG")
    return held.getvalue()


def _sound(rows: pa.Table) -> pa.Table:
    """Select the rows without a fault."""
    return rows.filter(pc.equal(rows["status"], str(Status.OK)))


def _form(row: dict[str, object]) -> Form:
    """Read the form from a survey row; a format that is not written here becomes the closest one."""
    format_ = str(row["format"])
    kind = "png" if format_ in LOSSLESS else "jpeg" if format_ == "jpeg" else "webp"
    quality = int(str(row["quality"] or UNKNOWN_QUALITY))
    subsampling = SUBSAMPLINGS.get(str(row["subsampling"]), 2)
    return Form(kind, quality, subsampling, int(str(row["width"])), int(str(row["height"])))
