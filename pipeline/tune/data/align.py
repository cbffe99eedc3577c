"""Align: give both classes the formats, qualities and sizes of the photographs, so that none of them tells anything.

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
from pipeline.tune.data.samples import BOUNDS, tensor

REACHED = 5
"""Percent of the smaller class that may have to be enlarged; sizes above what the others have are not drawn."""

UNKNOWN_QUALITY = 80
"""Of a WebP, whose file does not say it: libwebp's own default is 75, photographs on the web lie above."""

SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
LOSSLESS = frozenset(["png", "bmp", "tiff", "gif"])


@dataclass(frozen=True)
class Form:
    """How one photograph was delivered.

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
    """Delivers any picture as one of the photographs was delivered; plain data, so that it travels to workers.

    Attributes:
        forms: of the photographs, each as likely as the others.
        most_side: a longer short side of a form is brought down to this, pixels.
    """

    forms: tuple[Form, ...]
    most_side: int

    def apply(self, pixels_3HW: Tensor, seed: int) -> Tensor:
        """Deliver a picture.

        Args:
            pixels_3HW: uint8.
            seed: decides the form; the same seed gives the same pixels.

        Returns:
            uint8 (3, height, width) as the drawn form has it.

        Raises:
            SettingsError: what was encoded cannot be decoded, so this Pillow is broken.
        """
        again = decode(self.encoded(pixels_3HW, seed), BOUNDS)
        if isinstance(again, Fault):
            raise SettingsError(f"an aligned image is {again.status}: {again.detail}; reinstall Pillow")
        return tensor(again.pixels_3HW)

    def encoded(self, pixels_3HW: Tensor, seed: int) -> bytes:
        """Deliver a picture as a file: cut to the drawn aspect, scaled to the drawn size, encoded; uint8 (3, H, W)."""
        form = random.Random(seed).choice(self.forms)
        scale = min(1.0, self.most_side / min(form.width, form.height))
        size = max(1, round(form.height * scale)), max(1, round(form.width * scale))
        return encoded(fitted(pixels_3HW, *size), form.format, form.quality, form.subsampling)


def aligner(reals: pa.Table, fakes: pa.Table | None = None) -> Aligner:
    """Learn how photographs are delivered.

    Args:
        reals: their rows of a survey; faults among them are passed over.
        fakes: rows of the others; where given, no size is drawn that most of them would have to be enlarged to,
            for enlarging leaves traces as telling as the size was.

    Raises:
        SettingsError: no row is sound.
    """
    sound = _sound(reals)
    if not sound.num_rows:
        raise SettingsError(f"alignment draws from sound photographs and none of {reals.num_rows:,} is one; add some")
    forms = tuple(_form(row) for row in sound.to_pylist())
    tables = [sound] if fakes is None else [sound, _sound(fakes)]
    shorts = [np.minimum(np.array(table["width"]), np.array(table["height"])) for table in tables if table.num_rows]
    return Aligner(forms, int(min(np.percentile(short, REACHED) for short in shorts)))


def fitted(pixels_3HW: Tensor, height: int, width: int) -> Tensor:
    """Cut the middle to an aspect and scale it, antialiased bicubic; uint8 (3, H, W) to (3, height, width)."""
    high, wide = pixels_3HW.shape[1:]
    scale = min(high / height, wide / width)
    cut_high, cut_wide = min(high, max(1, round(height * scale))), min(wide, max(1, round(width * scale)))
    top, left = round((high - cut_high) / 2), round((wide - cut_wide) / 2)
    return scaled(pixels_3HW[:, top : top + cut_high, left : left + cut_wide], height, width)


def encoded(pixels_3HW: Tensor, form: str, quality: int, subsampling: int) -> bytes:
    """Encode by Pillow alone, so that every file has been through the same encoder.

    Args:
        pixels_3HW: uint8 (3, H, W).
        form: `jpeg`, `webp` or `png`.
        quality: 1 to 100, of the lossy ones.
        subsampling: of a JPEG, Pillow's number: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
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
    """Keep the rows that are pictures."""
    return rows.filter(pc.equal(rows["status"], str(Status.OK)))


def _form(row: dict[str, object]) -> Form:
    """Read a survey's row; a format that is not written here becomes the nearest one that is."""
    format_ = str(row["format"])
    kind = "png" if format_ in LOSSLESS else "jpeg" if format_ == "jpeg" else "webp"
    quality = int(str(row["quality"] or UNKNOWN_QUALITY))
    subsampling = SUBSAMPLINGS.get(str(row["subsampling"]), 2)
    return Form(kind, quality, subsampling, int(str(row["width"])), int(str(row["height"])))
