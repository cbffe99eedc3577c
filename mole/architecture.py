"""Architecture: depth, width and heads of an image tower, bounded, so that no checkpoint can exhaust the memory."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

MAX_PARAMETERS = 20_000_000_000
"""Of a tower; the largest published image towers have a third of it."""

Count = Annotated[PositiveInt, Field(le=4096)]
"""Blocks, heads, ranks and the like."""
Size = Annotated[PositiveInt, Field(le=1 << 17)]
"""A dimension of a matrix, or the side of a view in pixels."""
Index = Annotated[NonNegativeInt, Field(le=4096)]
"""The index of a block, from 0, or a number of blocks."""


class Library(BaseModel):
    """A timm model that serves as tower where it is not CLIP's plain ViT.

    Attributes:
        model: its name in timm.
        pool: how the tokens after the last block become one: the class token, their mean, or attention pooling.
        projects: whether a linear layer projects the pooled token into the joint image-text embedding space.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    pool: Literal["token", "avg", "map"]
    projects: bool


class Architecture(BaseModel):
    """The shape of a ViT image tower.

    Attributes:
        image_size: side of the view in pixels.
        patch_size: side of a patch in pixels.
        width: dimension of a token.
        layers: transformer blocks.
        heads: attention heads.
        embed_dim: dimension of the feature.
        quick_gelu: use QuickGELU. OpenAI's weights were trained with it and lose accuracy without, with no error.
        mlp_ratio: hidden width of the MLP divided by the width of a token.
        library: the timm model; None for CLIP's plain ViT, which `mole.tower.vit` builds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image_size: Size = 224
    patch_size: Size
    width: Size
    layers: Count
    heads: Count
    embed_dim: Size
    quick_gelu: bool = True
    mlp_ratio: Annotated[PositiveFloat, Field(le=64)] = 4.0
    library: Library | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        parameters = int(self.layers * self.width**2 * (4 + 2 * self.mlp_ratio))
        if parameters > MAX_PARAMETERS:
            raise ValueError(f"the blocks have {parameters:,} parameters, at most {MAX_PARAMETERS:,} are loaded")
        return self

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields added later while they have their default, so that the digests of older checkpoints stay."""
        written: dict[str, Any] = handler(self)
        silent = {"mlp_ratio": self.mlp_ratio == 4.0, "library": self.library is None}
        return {name: value for name, value in written.items() if not silent.get(name, False)}
