"""Preprocessing as one spec, stored with the weights and known by its fingerprint; `view` carries it out."""

import hashlib
import math
from typing import Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BOTH = "resize+crop"
VERSION = 1
"""Counted up when the same spec would give other pixels; part of the fingerprint."""


class Window(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Preprocess(BaseModel):
    """How an image becomes what the tower sees.

    Attributes:
        mode: `crop` cuts without resizing and pads a smaller image with zeros: the centre, or several crops spread
            evenly; `texture` cuts the crops with the most texture; `resize` brings the short side to `short_side`
            first and cuts the centre; `resize+crop` shows both, the resized view and then the centre at its own scale.
        crops: C, views of an image, whose logits are averaged; for `crop` a square number, for `resize` 1, for
            `resize+crop` 2.
        size: S, the side of the view in pixels.
        short_side: the short side after resizing, pixels; nothing else looks at it.
        mean: taken off each colour, of pixels in [0, 1].
        std: each colour is divided by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["crop", "resize", "texture", "resize+crop"] = "crop"
    crops: PositiveInt = 1
    size: PositiveInt = 224
    short_side: PositiveInt = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    @model_validator(mode="before")
    @classmethod
    def _count_both(cls, values: Any) -> Any:
        both = isinstance(values, dict) and values.get("mode") == BOTH
        return {"crops": 2, **values} if both else values

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        if self.mode == "resize" and self.crops != 1:
            raise ValueError(f"crops is {self.crops}, the resized view has 1")
        if self.mode == BOTH and self.crops != 2:
            raise ValueError(f"crops is {self.crops}, {BOTH} has 2 views")
        if self.mode == "crop" and math.isqrt(self.crops) ** 2 != self.crops:
            raise ValueError(f"crops is {self.crops}, crops spread evenly must be a square number (1, 4, 9)")
        return self

    @classmethod
    def named(cls, name: str) -> Self:
        """Make the spec that a person calls `resize`, `crop`, `crop-4`, `texture-4` or `resize+crop`.

        Raises:
            ValueError: there is none of that name.
        """
        mode, _, crops = name.partition("-")
        return cls.model_validate({"mode": mode} | ({"crops": crops} if crops else {}))

    def seen_as(self, name: str) -> Self:
        """Keep size, mean and std, which are the tower's, and take another view; see `named`.

        Raises:
            ValueError: there is none of that name.
        """
        other = self.named(name)
        return self.model_copy(update={"mode": other.mode, "crops": other.crops})

    @property
    def name(self) -> str:
        """What a person calls it, see `named`."""
        return self.mode if self.crops == 1 or self.mode == BOTH else f"{self.mode}-{self.crops}"

    @property
    def single(self) -> "Preprocess":
        """The one view that a training sees where it sees but one: of `singles` the first."""
        return self.singles[0]

    @property
    def singles(self) -> tuple["Preprocess", ...]:
        """The views that a training sees, one of each scale: all that an image is judged by, one crop of several."""
        modes = {"resize": ("resize",), BOTH: ("resize", "crop")}.get(self.mode, ("crop",))
        return tuple(self.model_copy(update={"mode": mode, "crops": 1}) for mode in modes)

    @property
    def resizes(self) -> bool:
        """Whether any of the views is resized, which takes torch."""
        return self.mode in ("resize", BOTH)

    def window(self, height: int, width: int) -> Window | None:
        """Tell the part of an image, upright, that the views are cut from; None for all of it."""
        if self.mode != "crop" or self.crops != 1:
            return None
        high, wide = min(height, self.size), min(width, self.size)
        return Window(middle(height, high), middle(width, wide), high, wide)

    @property
    def bytes(self) -> int:
        """What the views of an image take."""
        return self.crops * 3 * self.size**2

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the model would see other numbers."""
        return hashlib.sha256(f"{VERSION} {self.model_dump_json()}".encode()).hexdigest()[:16]

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave one crop unsaid, so that what was made before there were several keeps its fingerprint and digest."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if (name, value) != ("crops", 1)}


def middle(side: int, cut: int) -> int:
    """Place a cut in the middle of a side, with torchvision's rounding."""
    return round((side - cut) / 2.0)
