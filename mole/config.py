"""A checkpoint's settings: everything but its weights, readable in milliseconds, without torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from mole.errors import ModelError
from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess

CONFIG = "config.json"
ADAPTERS = "adapters.safetensors"
DIGEST_DIGITS = 32


class Library(BaseModel):
    """How timm builds a tower that is not CLIP's plain ViT.

    Attributes:
        model: timm's name of it.
        pool: how the tokens behind the last block become one: by the class token, their mean, or attention.
        projects: whether a layer brings that one into the space that images share with texts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    pool: Literal["token", "avg", "map"]
    projects: bool


class Architecture(BaseModel):
    """The shape of a ViT image tower.

    Attributes:
        image_size: side of the view, pixels.
        patch_size: side of a patch, pixels.
        width: of a token.
        layers: transformer blocks.
        heads: attention heads.
        embed_dim: of the feature.
        quick_gelu: OpenAI's weights were trained with it and score worse without, and say nothing.
        mlp_ratio: width of the MLP for one of a token.
        library: how timm builds it; None for the plain ViT of CLIP, which `mole.tower.vit` builds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: PositiveInt = 224
    patch_size: PositiveInt
    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    embed_dim: PositiveInt
    quick_gelu: bool = True
    mlp_ratio: PositiveFloat = 4.0
    library: Library | None = None

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave unsaid what the first checkpoints could not say, where it is as they were: they keep their digest."""
        written: dict[str, Any] = handler(self)
        silent = {"mlp_ratio": self.mlp_ratio == 4.0, "library": self.library is None}
        return {name: value for name, value in written.items() if not silent.get(name, False)}


Pooling = Literal["class", "mean", "deviation"]
"""What is read of a block's tokens: the class token, the mean of the patch tokens, or their standard deviation."""


class DetectorConfig(BaseModel):
    """What the paper's figure fixes and what it leaves open, each open point with our default.

    Attributes:
        adapted_blocks: how many of the last blocks that run have experts; only looked at where `blocks` is None.
        blocks: the blocks that have experts, counted from 0 and ascending; none leaves the tower plain.
        reads: after how many blocks the head reads, ascending: 8 is behind the eighth, and no block runs above the
            last one; none reads the tower's own feature behind all blocks, as the paper does.
        pooling: what of each read's tokens is read.
        shared_rank: rank of the expert that is not gated.
        expert_ranks: ranks of the separate experts; none and no shared rank leave the plain tower with a head.
        top_k: separate experts that count for a token; None for all.
        scale: alpha / r of the experts.
        head: `layers` is linear, or a perceptron of `head_depth`; `kernel` is linear in RBF features.
        head_depth: layers of the head.
        head_width: of the layers between them; None for as wide as what is read.
        components: P, principal components that a `kernel` head keeps of what is read.
        centres: C, training features whose nearness is a `kernel` head's feature.
        aux_coef: weight of the balance term in the loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapted_blocks: NonNegativeInt = 3
    shared_rank: NonNegativeInt = 8
    expert_ranks: tuple[PositiveInt, ...] = (4, 8, 16)
    top_k: PositiveInt | None = None
    scale: PositiveFloat = 1.0
    head_depth: PositiveInt = 1
    aux_coef: NonNegativeFloat = 0.0
    blocks: tuple[NonNegativeInt, ...] | None = None
    reads: tuple[PositiveInt, ...] = ()
    pooling: tuple[Pooling, ...] = ("class",)
    head: Literal["layers", "kernel"] = "layers"
    head_width: PositiveInt | None = None
    components: PositiveInt = 256
    centres: PositiveInt = 2048

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.top_k is not None and self.top_k > len(self.expert_ranks):
            raise ValueError(f"top_k must lie in [1, {len(self.expert_ranks)}], got {self.top_k}")
        for name, numbers in (("reads", self.reads), ("blocks", self.blocks or ())):
            if list(numbers) != sorted(set(numbers)):
                raise ValueError(f"{name} must ascend, each number once, got {list(numbers)}")
        if self.reads and self.blocks and self.blocks[-1] >= self.reads[-1]:
            raise ValueError(
                f"blocks must lie in [0, {self.reads[-1] - 1}], below the last read, got {self.blocks[-1]}"
            )
        if not self.pooling or len(set(self.pooling)) != len(self.pooling):
            raise ValueError(
                f"pooling must name at least one of class, mean and deviation, each once, got {self.pooling}"
            )
        if self.pooling != ("class",) and not self.reads:
            raise ValueError(f"pooling is of reads, and there are none; got {self.pooling}")
        if self.head == "kernel" and self.head_depth != 1:
            raise ValueError(f"head_depth of a kernel head must be 1, got {self.head_depth}")
        return self

    @property
    def adapts(self) -> bool:
        """Tell whether there are experts at all."""
        some = self.adapted_blocks if self.blocks is None else self.blocks
        return bool(some and (self.shared_rank or self.expert_ranks))

    def adapted(self, layers: int) -> range | tuple[int, ...]:
        """List the blocks with experts of a tower of which so many blocks run, ascending."""
        if not self.adapts:
            return ()
        return range(layers - self.adapted_blocks, layers) if self.blocks is None else self.blocks

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave unsaid what the first checkpoints could not say, where it is as they were: they keep their digest."""
        written: dict[str, Any] = handler(self)
        silent = {name for name in LATER if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in written.items() if name not in silent}


LATER = ("blocks", "reads", "pooling", "head", "head_width", "components", "centres")
"""Settings that came after the first checkpoints."""


class Backbone(BaseModel):
    """Which frozen tower a checkpoint stands on.

    Attributes:
        name: open_clip's name of the model, or timm's.
        pretrained: the tag of the weights there, where they are downloaded.
        file: the weights' file, relative to the checkpoint's folder, where they are not.
        file_sha256: digest of that file as it lies there.
        sha256: digest of the unpacked weights, None where they were never seen.
        architecture: the tower's shape, where neither knows the name or it is to stay whatever they make of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pretrained: str | None = None
    file: str | None = None
    file_sha256: str | None = None
    sha256: str | None = None
    architecture: Architecture | None = None

    @property
    def identity(self) -> str | None:
        """What two checkpoints on the same tower have in common, None where nothing tells."""
        return self.sha256 or self.file_sha256 or (f"{self.name}/{self.pretrained}" if self.pretrained else None)


class CheckpointConfig(BaseModel):
    """Everything of a checkpoint but its weights.

    Attributes:
        format: version of this layout.
        backbone: the frozen tower.
        detector: experts and head.
        preprocess: what the tower sees.
        preprocess_fingerprint: of `preprocess`, refused where it differs.
        calibration: how the logits are read.
        provenance: where the weights come from: data, recipe, date.
        licence: of the adapters and the tower.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["mole-1"] = "mole-1"
    backbone: Backbone
    detector: DetectorConfig
    preprocess: Preprocess
    preprocess_fingerprint: str
    calibration: Calibration
    provenance: dict[str, Any] = Field(default_factory=dict)
    licence: str


@dataclass(frozen=True)
class Description:
    """A checkpoint whose weights were not loaded.

    Attributes:
        folder: where it lies.
        config: its settings.
        digest: 32 hex digits over settings and adapters; the model's name in every table.
    """

    folder: Path
    config: CheckpointConfig
    digest: str

    @property
    def preprocess(self) -> Preprocess:
        """What the tower sees."""
        return self.config.preprocess

    @property
    def calibration(self) -> Calibration:
        """How the logits are read."""
        return self.config.calibration


def describe(folder: Path) -> Description:
    """Read a checkpoint's settings and digest; its tower is not touched.

    Raises:
        ModelError: a file is missing, a setting is refused, or the preprocessing is not the one of the fingerprint.
    """
    try:
        text, adapters = (folder / CONFIG).read_bytes(), (folder / ADAPTERS).read_bytes()
        config = CheckpointConfig.model_validate_json(text)
    except OSError as reason:
        raise ModelError(f"{folder} is no checkpoint: {reason}") from reason
    except ValidationError as reason:
        raise ModelError(f"{folder / CONFIG} is refused: {reason}") from reason
    if config.preprocess.fingerprint != config.preprocess_fingerprint:
        raise ModelError(
            f"{folder} was trained on views {config.preprocess_fingerprint}, this version makes "
            f"{config.preprocess.fingerprint} of the same spec; scan with the version that trained it, or train again"
        )
    return Description(folder, config, _digest(config, adapters))


def _digest(config: CheckpointConfig, adapters: bytes) -> str:
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode() + b"\0" + adapters).hexdigest()[:DIGEST_DIGITS]


def demand_shared_backbone(models: Sequence[Description]) -> None:
    """Insist that some models stand on one tower and see the same views.

    Raises:
        ModelError: they do not.
    """
    first = models[0].config
    for model in models[1:]:
        other = model.config
        if first.backbone.identity is None or other.backbone.identity != first.backbone.identity:
            raise ModelError(
                f"{model.digest} stands on the tower {other.backbone.identity}, {models[0].digest} on "
                f"{first.backbone.identity}; only models of one known tower are scored together"
            )
        if other.preprocess.fingerprint != first.preprocess.fingerprint:
            raise ModelError(f"{model.digest} sees other views than {models[0].digest}; scan with each alone")
