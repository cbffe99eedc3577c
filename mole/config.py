"""Checkpoint configuration: all of a checkpoint except its weights, readable in milliseconds and without torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

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
    field_validator,
    model_serializer,
    model_validator,
)

from mole.architecture import Architecture, Count, Index, Size
from mole.errors import ModelError
from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess

CONFIG = "config.json"
ADAPTERS = "adapters.safetensors"
FORMAT: Literal["mole-1"] = "mole-1"
DIGEST_DIGITS = 32
MAX_CONFIG_BYTES = 16 << 20

Pooling = Literal["class", "mean", "deviation"]
"""Pooling of a block's tokens: the class token, the mean of the patch tokens, or their standard deviation."""


class DetectorConfig(BaseModel):
    """Hyperparameters of the experts and the head, with our defaults for what the paper leaves open.

    Attributes:
        adapted_blocks: how many of the last blocks that run have experts; ignored if `blocks` is given.
        blocks: indices of the blocks that have experts, from 0 and ascending; empty for no experts.
        reads: the depths at which the head reads tokens, ascending: 8 is after the eighth block, and no block runs
            above the deepest; empty reads the tower's own feature after all blocks, as the paper does.
        pooling: how the tokens of each read are pooled.
        shared_rank: rank of the shared expert, which is not gated.
        expert_ranks: ranks of the separate experts; with none and no shared rank the detector is a linear probe.
        top_k: separate experts that a token is routed to; None for all.
        scale: alpha / r of the experts, as in LoRA.
        head: `layers` is linear or an MLP of `head_depth` layers; `kernel` is linear in RBF features.
        head_depth: layers of the head.
        head_width: width of the hidden layers; None for that of the features.
        components: P, principal components of the features that a `kernel` head keeps.
        centres: C, training features that are the centres of a `kernel` head's RBFs.
        aux_coef: weight of the load-balancing loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    adapted_blocks: Index = 3
    shared_rank: Annotated[NonNegativeInt, Field(le=4096)] = 8
    expert_ranks: Annotated[tuple[Count, ...], Field(max_length=256)] = (4, 8, 16)
    top_k: PositiveInt | None = None
    scale: PositiveFloat = 1.0
    head_depth: Annotated[PositiveInt, Field(le=64)] = 1
    aux_coef: NonNegativeFloat = 0.0
    blocks: tuple[Index, ...] | None = None
    reads: tuple[Count, ...] = ()
    pooling: tuple[Pooling, ...] = ("class",)
    head: Literal["layers", "kernel"] = "layers"
    head_width: Size | None = None
    components: Size = 256
    centres: Annotated[PositiveInt, Field(le=1 << 24)] = 2048

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
            raise ValueError(f"pooling {self.pooling} needs reads, got none")
        if self.head == "kernel" and self.head_depth != 1:
            raise ValueError(f"head_depth of a kernel head must be 1, got {self.head_depth}")
        return self

    @property
    def adapts(self) -> bool:
        """Return whether there are experts."""
        some = self.adapted_blocks if self.blocks is None else self.blocks
        return bool(some and (self.shared_rank or self.expert_ranks))

    def adapted(self, layers: int) -> range | tuple[int, ...]:
        """List the indices of the blocks with experts, ascending, for a tower of which `layers` blocks run."""
        if not self.adapts:
            return ()
        return range(layers - self.adapted_blocks, layers) if self.blocks is None else self.blocks

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields added later while they have their default, so that the digests of older checkpoints stay."""
        written: dict[str, Any] = handler(self)
        silent = {name for name in LATER_FIELDS if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in written.items() if name not in silent}


LATER_FIELDS = ("blocks", "reads", "pooling", "head", "head_width", "components", "centres")
"""Fields that were added after the first checkpoints."""


class Backbone(BaseModel):
    """The frozen tower of a checkpoint.

    Attributes:
        name: the model's name in open_clip or timm.
        pretrained: the tag of the weights there, if they are downloaded.
        file: the file of the weights, relative to the checkpoint's folder, if they are not downloaded.
        file_sha256: digest of that file.
        sha256: digest of the unpacked weights, None if it was never computed.
        architecture: the tower's shape, if neither library knows the name or a later release may read it differently.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pretrained: str | None = None
    file: str | None = None
    file_sha256: str | None = None
    sha256: str | None = None
    architecture: Architecture | None = None

    @field_validator("file")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        path = PurePosixPath(value or "")
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the tower's file must lie in the checkpoint's folder, got {value!r}")
        return value

    @property
    def identity(self) -> str | None:
        """What two checkpoints with the same tower have in common, None if unknown."""
        return self.sha256 or self.file_sha256 or (f"{self.name}/{self.pretrained}" if self.pretrained else None)


class CheckpointConfig(BaseModel):
    """The configuration of a checkpoint.

    Attributes:
        format: version of this layout.
        backbone: the frozen tower.
        detector: experts and head.
        preprocess: how an image becomes the tower's input.
        preprocess_fingerprint: fingerprint of `preprocess`; loading fails if it differs.
        calibration: how logits become probabilities and verdicts.
        provenance: origin of the weights: data, recipe, date.
        licence: licences of the adapters and the tower.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["mole-1"] = FORMAT
    backbone: Backbone
    detector: DetectorConfig
    preprocess: Preprocess
    preprocess_fingerprint: str
    calibration: Calibration
    provenance: dict[str, Any] = Field(default_factory=dict)
    licence: str


@dataclass(frozen=True)
class Description:
    """A checkpoint without its weights.

    Attributes:
        folder: its folder.
        config: its configuration.
        digest: 32 hex digits over configuration and adapters; the model's name in every table.
    """

    folder: Path
    config: CheckpointConfig
    digest: str

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes the tower's input."""
        return self.config.preprocess

    @property
    def calibration(self) -> Calibration:
        """How logits become probabilities and verdicts."""
        return self.config.calibration


def describe(folder: Path) -> Description:
    """Read a checkpoint's configuration and digest; its tower is not loaded.

    Raises:
        ModelError: a file is missing, the configuration is invalid, or the preprocessing does not match its
            fingerprint.
    """
    try:
        if (size := (folder / CONFIG).stat().st_size) > MAX_CONFIG_BYTES:
            raise ModelError(f"{folder / CONFIG} has {size:,} bytes, at most {MAX_CONFIG_BYTES:,} are read")
        text, adapters = (folder / CONFIG).read_bytes(), (folder / ADAPTERS).read_bytes()
        _demand_format(text, folder)
        config = CheckpointConfig.model_validate_json(text)
    except OSError as reason:
        raise ModelError(f"{folder} is not a checkpoint: {reason}") from reason
    except ValidationError as reason:
        raise ModelError(f"{folder / CONFIG} is invalid: {reason}") from reason
    if config.preprocess.fingerprint != config.preprocess_fingerprint:
        raise ModelError(
            f"{folder} was trained on views {config.preprocess_fingerprint}, this version makes "
            f"{config.preprocess.fingerprint} of the same spec; scan with the version that trained it, or train again"
        )
    return Description(folder, config, _digest(config, adapters))


def _demand_format(text: bytes, folder: Path) -> None:
    """Check the version of a checkpoint's layout first, since another one has other settings too.

    Raises:
        ModelError: another version wrote it.
    """
    try:
        content = json.loads(text)
    except ValueError:
        return  # the settings are then refused as a whole
    found = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
    if found != FORMAT:
        raise ModelError(f"{folder / CONFIG} has the format {found!r}, this version reads {FORMAT!r}")


def _digest(config: CheckpointConfig, adapters: bytes) -> str:
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode() + b"\0" + adapters).hexdigest()[:DIGEST_DIGITS]


def require_shared_backbone(models: Sequence[Description]) -> None:
    """Check that models share one tower and one preprocessing.

    Raises:
        ModelError: they do not.
    """
    first = models[0].config
    for model in models[1:]:
        other = model.config
        if first.backbone.identity is None or other.backbone.identity != first.backbone.identity:
            raise ModelError(
                f"{model.digest} uses the tower {other.backbone.identity}, {models[0].digest} uses "
                f"{first.backbone.identity}; only models that share a known tower are scored together"
            )
        if other.preprocess.fingerprint != first.preprocess.fingerprint:
            raise ModelError(f"{model.digest} has another preprocessing than {models[0].digest}; scan with each alone")
