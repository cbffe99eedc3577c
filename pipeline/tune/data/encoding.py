"""Encoding: format properties of a file, read from its header and metadata.

Shapes: 64 entries of a quantisation table, in natural order; 100 qualities.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from pipeline.images.container import blocks
from pipeline.images.decode import PILLOW_FORMATS
from pipeline.images.provenance import declared_provenance

LUMA = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
"""The example table that encoders scale; source: ITU-T T.81, table K.1."""

SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


def _scaled() -> NDArray[np.float64]:
    """Scale the example table as libjpeg does, for each quality; float64 (100, 64)."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    table_64 = np.array([int(step) for step in LUMA.split()])
    steps: NDArray[np.float64] = np.clip((table_64 * scale + 50) // 100, 1, 255).astype(np.float64)
    return steps


LUMA_TABLES = _scaled()


@dataclass(frozen=True)
class Encoding:
    """How a file was encoded.

    Attributes:
        quality: of a JPEG, the libjpeg quality whose luma table is nearest; None for other formats.
        subsampling: of a JPEG's chroma, `4:2:0`; None for other formats.
        exif: whether the file has an EXIF block.
        icc: whether it has a colour profile.
        xmp: whether it has an XMP packet.
        software: the software that the file names, None for none.
    """

    quality: int | None = None
    subsampling: str | None = None
    exif: bool = False
    icc: bool = False
    xmp: bool = False
    software: str | None = None


def encoding_of(data: bytes, form: str | None) -> Encoding:
    """Read a file's header; an unreadable one gives the defaults.

    Args:
        data: the whole file.
        form: its format as `decode` names it.
    """
    kinds = {block.kind for block in blocks(data, form)}
    software = (declared_provenance(data, form) or {}).get("software")
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=tuple(PILLOW_FORMATS.values())) as image,
        ):
            icc = bool(image.info.get("icc_profile"))
            tables = getattr(image, "quantization", None)
            quality = nearest_quality(np.array(tables[0])) if tables and len(tables.get(0, ())) == 64 else None
            sampling = SUBSAMPLINGS.get(get_sampling(image)) if form == "jpeg" else None
    except Exception:  # noqa: BLE001 - Pillow may raise anything on a damaged header
        return Encoding(exif="exif" in kinds, xmp="xmp" in kinds, software=software)
    return Encoding(quality, sampling, "exif" in kinds, icc, "xmp" in kinds, software)


def nearest_quality(table_64: NDArray[np.integer]) -> int:
    """Find the libjpeg quality whose luma table is nearest to an integer (64,) one, in natural order."""
    return int(np.abs(LUMA_TABLES - table_64).sum(axis=1).argmin()) + 1
