"""Preprocessing as one spec, stored with the weights and known by its fingerprint; `view` carries it out."""

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

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
