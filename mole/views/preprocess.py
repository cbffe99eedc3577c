"""Preprocessing spec: stored with the weights, identified by its fingerprint, implemented by `mole.views.view`."""

import hashlib
import math
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BOTH = "resize+crop"
MAX_PIXELS = 1 << 26
"""Pixels of an image's views together; a checkpoint of strangers must not be able to fill the memory."""
Side = Annotated[PositiveInt, Field(le=1 << 15)]
"""A side of a view in pixels."""
VERSION = 1
"""Incremented when the same spec would give other pixels; part of the fingerprint."""


STRIP = 16
"""Aspect ratio above which an image is a strip, of which only the part under the crop is resized."""


class Window(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Resize(NamedTuple):
    """A resized image, antialiased and bicubic, of which the centre is kept; in pixels."""

    height: int
    width: int
    size: int
    """Side of the centre."""
    by_torch: bool
    """Whether the weights are rounded as torch does; otherwise as Pillow does, and its order of the passes is taken."""


class Preprocess(BaseModel):
    """How an image becomes the tower's input.

    Attributes:
        mode: `crop` cuts without resizing and pads a smaller image with zeros: the centre, or several crops spread
            evenly; `texture` cuts the crops with the most texture; `resize` resizes the short side to `short_side` and
            cuts the centre; `resize+crop` gives both, the resized view and then the centre crop.
        crops: C, views per image, whose logits are averaged; for `crop` a square number, for `resize` 1, for
            `resize+crop` 2.
        size: S, side of a view in pixels.
        short_side: short side after resizing, in pixels; used by `resize` and `resize+crop`.
        mean: subtracted per channel, for pixels in [0, 1].
        std: divisor per channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["crop", "resize", "texture", "resize+crop"] = "crop"
    crops: PositiveInt = 1
    size: Side = 224
    short_side: Side = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = CLIP_STD

    @model_validator(mode="before")
    @classmethod
    def _count_both(cls, values: Any) -> Any:
        both = isinstance(values, dict) and values.get("mode") == BOTH
        return {"crops": 2, **values} if both else values

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        if (pixels := self.crops * self.size**2) > MAX_PIXELS:
            raise ValueError(f"{self.crops} views of {self.size} pixels a side have {pixels:,}, over {MAX_PIXELS:,}")
        if self.mode == "resize" and self.crops != 1:
            raise ValueError(f"crops is {self.crops}, the resized view has 1")
        if self.mode == BOTH and self.crops != 2:
            raise ValueError(f"crops is {self.crops}, {BOTH} has 2 views")
        if self.mode == "crop" and math.isqrt(self.crops) ** 2 != self.crops:
            raise ValueError(f"crops is {self.crops}, crops spread evenly must be a square number (1, 4, 9)")
        return self

    @classmethod
    def named(cls, name: str) -> Self:
        """Make a spec from its short name: `resize`, `crop`, `crop-4`, `texture-4` or `resize+crop`.

        Raises:
            ValueError: there is no such name.
        """
        mode, _, crops = name.partition("-")
        return cls.model_validate({"mode": mode} | ({"crops": crops} if crops else {}))

    def seen_as(self, name: str) -> Self:
        """Return a spec with this one's size, mean and std and another view; see `named`.

        Raises:
            ValueError: there is no such name.
        """
        other = self.named(name)
        return self.model_copy(update={"mode": other.mode, "crops": other.crops})

    @property
    def name(self) -> str:
        """Its short name, see `named`."""
        return self.mode if self.crops == 1 or self.mode == BOTH else f"{self.mode}-{self.crops}"

    @property
    def single(self) -> "Preprocess":
        """The first of `singles`."""
        return self.singles[0]

    @property
    def singles(self) -> tuple["Preprocess", ...]:
        """The views used in training: one of each scale, with one crop instead of several."""
        modes = {"resize": ("resize",), BOTH: ("resize", "crop")}.get(self.mode, ("crop",))
        return tuple(self.model_copy(update={"mode": mode, "crops": 1}) for mode in modes)

    @property
    def resizes(self) -> bool:
        """Whether any of the views is resized, which may need torch."""
        return self.mode in ("resize", BOTH)

    def region(self, height: int, width: int) -> Window | Resize | None:
        """Return what of an upright image the views are cut from; None is the whole image."""
        if self.mode == "resize" and self.size == self.short_side and max(height, width) <= STRIP * min(height, width):
            return self.resize(height, width)
        if self.mode != "crop" or self.crops != 1:
            return None
        high, wide = min(height, self.size), min(width, self.size)
        return Window(middle(height, high), middle(width, wide), high, wide)

    def resize(self, height: int, width: int) -> Resize:
        """Return how an upright image is resized, with torchvision's rounding.

        torch is up to eight times faster than Pillow and within 1/255 of it if it halves an image or more. For smaller
        factors one value in 100,000 differed by 2/255, and Pillow resizes tall images in the other order: there Pillow
        is used.
        """
        short, long = sorted((height, width))
        other = int(self.short_side * long / short)
        high, wide = (self.short_side, other) if height <= width else (other, self.short_side)
        return Resize(high, wide, self.size, by_torch=short >= 2 * self.short_side and height <= 2 * width)

    @property
    def bytes(self) -> int:
        """Bytes of the views of an image."""
        return self.crops * 3 * self.size**2

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the tower's input would change."""
        return hashlib.sha256(f"{VERSION} {self.model_dump_json()}".encode()).hexdigest()[:16]

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit `crops` if it is 1, so that specs from before the field was added keep their fingerprint and digest."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if (name, value) != ("crops", 1)}


def middle(side: int, cut: int) -> int:
    """Return the offset of a centre cut along one side, with torchvision's rounding."""
    return round((side - cut) / 2.0)
