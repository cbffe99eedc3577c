"""Recipe: the settings that determine the result of a training, shared by finetune and crossvalidate."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline.command.settings import read_json, split_commas
from pipeline.tune.data.settings import Names, SampleSettings
from pipeline.tune.evaluation.perturbation import ALIGNED, NATIVE, ORIGINAL
from pipeline.tune.training.stages import NAMES, ROUTER


def view_name(name: str) -> str:
    """Check the name of a view.

    Raises:
        ValueError: there is no such view.
    """
    try:
        return Preprocess.named(name).name
    except ValueError as reason:
        raise ValueError("must be resize, crop, crop-4, texture-4 or resize+crop") from reason


RUNTIME_SETTINGS = {
    "samples",
    "registry",
    "workers",
    "device",
    "token_cache",
    "ray_address",
    "ray_logs",
    "log_json",
    "json_summary",
    "config",
    "reviews",
    "allow_relative",
    "folds",
    "perturbations",
    "methods",
    "method",
    "output",
    "calibrate_from",
}
"""Settings that do not affect the result of a training; all others are part of the identity of a run."""
DETECTOR_SETTINGS = {
    "adapted_blocks",
    "blocks",
    "reads",
    "pooling",
    "shared_rank",
    "expert_ranks",
    "head",
    "head_depth",
    "head_width",
    "components",
    "centres",
    "aux_coef",
}
"""Settings of the detector's architecture."""
NO_TOKENS = "none"
Numbers = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(split_commas)]


class StageSettings(BaseModel):
    """Settings of a training stage; see `pipeline.tune.training.task.Stage`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    epochs: NonNegativeInt
    learns: Names = ()
    kinds: Names = ()
    head: Literal["layers"] | None = None
    penalty: PositiveFloat | None = None

    @field_validator("learns")
    @classmethod
    def _known(cls, learns: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(learns) - set(NAMES))
        if unknown:
            raise ValueError(f"learns must name some of {', '.join(NAMES)}, got {unknown}")
        return learns


class Recipe(SampleSettings):
    """The settings that finetune and crossvalidate share, so that one file can serve both."""

    base: str = Field(
        "embedded",
        description="checkpoint that provides the tower, the detector's shape and the view: a folder, a registry (its "
        "promoted version) or 'embedded'",
    )
    base_tower: str | None = Field(
        None,
        description="train on this tower instead of that of --base: a model name of open_clip or timm, for example "
        "ViT-L-14-quickgelu, PE-Core-L-14-336 or vit_base_patch16_dinov3 (default: the base's tower)",
    )
    pretrained: str | None = Field(
        None, description="weights of --base-tower: a tag, which is downloaded, or a local file (default: none)"
    )
    hold_out: Names = Field(
        (),
        description="generators or collections to use for validation only, comma-separated; their mean AUROC decides "
        "when to stop (default: none)",
    )
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of groups used for validation, which decides when to stop; with 0 and no --hold-out, the "
        "last epoch is kept",
    )
    calibration_share: float = Field(
        0.15, ge=0, lt=1, description="share of groups used to set temperature, bias and thresholds"
    )
    test_share: float = Field(
        0.15, ge=0, lt=1, description="share of groups held out for the promotion gate; nothing is fitted to them"
    )
    align: bool = Field(False, description="give both classes the formats, qualities and sizes of the real images")
    accept_leak: bool = Field(False, description="train even if properties of the files leak the label")
    max_leak: PositiveFloat = Field(
        0.65,
        description="highest AUROC that a classifier of file properties alone may reach without training being refused",
    )

    view: Annotated[str, AfterValidator(view_name)] | None = Field(
        None,
        description="view or views an image is scored by: resize, crop, crop-4, texture-4 or resize+crop (default: the "
        "base's)",
    )
    adapted_blocks: NonNegativeInt | None = Field(
        None, description="number of last blocks that get experts (default: the base's)"
    )
    shared_rank: NonNegativeInt | None = Field(
        None, description="rank of the shared expert, which is not gated (default: the base's)"
    )
    expert_ranks: Annotated[tuple[PositiveInt, ...] | None, BeforeValidator(split_commas)] = Field(
        None, description="ranks of the separate experts, for example 4,8,16 (default: the base's)"
    )
    blocks: Numbers | None = Field(
        None, description="blocks that get experts, counted from 0, instead of --adapted-blocks (default: the base's)"
    )
    reads: Numbers | None = Field(
        None,
        description="blocks after which the head reads tokens, counted from 1, for example 6,8,10,12 (default: the "
        "base's; if the base has none, the head reads the tower's output feature)",
    )
    pooling: Names | None = Field(
        None,
        description="what the head reads of the tokens: class, mean, deviation, comma-separated (default: the base's)",
    )
    head: Literal["layers", "kernel"] | None = Field(
        None, description="type of head: linear layers, or a kernel machine on training images (default: the base's)"
    )
    head_depth: PositiveInt | None = Field(
        None, description="number of linear layers of the head (default: the base's)"
    )
    head_width: PositiveInt | None = Field(None, description="width of the head's hidden layers (default: the base's)")
    components: PositiveInt | None = Field(
        None, description="principal components that a kernel head keeps of all reads together (default: the base's)"
    )
    centres: PositiveInt | None = Field(None, description="number of centres of a kernel head (default: the base's)")
    aux_coef: NonNegativeFloat = Field(0.0, description="weight of the load-balancing loss of the router")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="dtype of the frozen tower in training; auto: bfloat16 on GPUs, and on CPUs that are faster in it",
    )

    token_cache: str | None = Field(
        None,
        description="folder of the token cache, which stores the output of the frozen blocks for this and later "
        "trainings on the same tower; 'none' makes new views in every epoch instead (default: a folder in the run, if "
        "the run is local)",
    )
    cluster_contents: bool = Field(
        False,
        description="cluster images whose content is unknown by their features, so that sampling is balanced over "
        "content; needs the token cache",
    )
    augmentations: PositiveInt = Field(4, description="augmented variants cached per image")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device to train on")
    epochs: NonNegativeInt = Field(6, description="maximum number of epochs; 0 only fits the head, to all cached views")
    epoch_images: PositiveInt | None = Field(
        None, description="images drawn per epoch (default: the number of training images, at most 20000)"
    )
    batch_size: PositiveInt = Field(16, description="images per step, over all workers")
    head_images: NonNegativeInt = Field(
        512, description="images that the head is fitted to before the first training step, if tokens are not cached"
    )
    penalty: PositiveFloat = Field(
        5e-3, description="ridge penalty of that fit, on the squared norm of the head's weights"
    )
    whitening: float = Field(
        0.0, ge=0, le=1, description="how far a kernel head levels its components' variances: 0 not at all, 1 all alike"
    )
    head_lr: NonNegativeFloat = Field(1e-4, description="peak learning rate of the head in training steps")
    expert_lr: NonNegativeFloat = Field(2e-4, description="peak learning rate of the experts")
    weight_decay: NonNegativeFloat = Field(0.0, description="weight decay")
    patience: PositiveInt = Field(3, description="epochs without a better validation score before training stops")
    consistency: NonNegativeFloat = Field(
        0.0,
        description="weight of the squared difference between the logits of two augmented variants of an image, which "
        "are then drawn in the same step",
    )
    patches: PositiveInt | None = Field(
        None,
        description="patch tokens kept in a training step, to make it cheaper; scoring always uses all (default: all)",
    )
    stages: Annotated[tuple[StageSettings, ...], BeforeValidator(read_json)] = Field(
        (),
        description="stages of the training, as JSON or as tables in a configuration file, each with name, epochs, "
        "learns (the experts to train, of alpha, beta, gamma, ..., shared and router; all if empty), kinds (of "
        "generated images to include; all if empty), head (layers: use a temporary linear head) and penalty (default: "
        "one stage of --epochs)",
    )
    false_positive_rate: PositiveFloat = Field(
        0.01, description="target share of held-out real images at or above the threshold for generated"
    )
    unsure_rate: PositiveFloat = Field(
        0.1,
        description="target share of held-out real images at or above the threshold for real, hence not called real",
    )

    folds: Annotated[tuple[Names, ...], BeforeValidator(read_json)] = Field(
        (), description="for crossvalidate: lists of collections that are held out together, as JSON (default: none)"
    )
    perturbations: Names = Field(
        (ORIGINAL, ALIGNED, NATIVE),
        description="for crossvalidate: perturbations under which held-out images are scored, comma-separated; the "
        "names are those of evaluate (default: original,aligned,native)",
    )
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(read_json)] = Field(
        {},
        description="named variations of these settings, as JSON or as tables in a configuration file (default: none)",
    )
    method: str | None = Field(None, description="variation to train (default: the settings as they are)")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if (self.base_tower is None) != (self.pretrained is None):
            flag = "--pretrained" if self.base_tower is None else "--base-tower"
            raise ValueError(
                "--base-tower and --pretrained must be given together: a tower, and the tag or file of its weights; "
                f"got {flag} {self.pretrained or self.base_tower!r} alone"
            )
        if self.base_tower is not None and self.base != "embedded":
            raise ValueError(f"--base-tower replaces the base; leave out --base {self.base!r}")
        if self.stages and self.stages[-1].learns and ROUTER not in self.stages[-1].learns:
            raise ValueError(f"the last of --stages must train the {ROUTER}, got {self.stages[-1].learns}")
        if self.stages and self.stages[-1].head is not None:
            raise ValueError(f"the last of --stages must use the detector's own head, got {self.stages[-1].head!r}")
        if self.method is not None and self.method not in self.methods:
            raise ValueError(f"--method must be one of {sorted(self.methods)}, got {self.method!r}")
        if self.consistency and self.batch_size % 2:
            raise ValueError(f"--batch-size must be even with --consistency, got {self.batch_size}")
        if self.token_cache == NO_TOKENS and 0 in {self.epochs, *(stage.epochs for stage in self.stages)}:
            raise ValueError(
                "--epochs must be at least 1 with --token-cache none: the head is fitted to the views of an epoch"
            )
        return self

    def varied(self, method: str | None) -> Self:
        """Apply a named variation; None leaves the settings as they are.

        Raises:
            SettingsError: it sets an unknown setting or an invalid value.
        """
        if method is None:
            return self
        given = {name.replace("-", "_"): value for name, value in self.methods[method].items()}
        change = {self.renamed.get(name, name): value for name, value in given.items()}
        own = set(Recipe.model_fields) - set(SampleSettings.model_fields) - RUNTIME_SETTINGS | {"seed"}
        unknown = sorted(name for name in given if self.renamed.get(name, name) not in own)
        if unknown:
            raise SettingsError(f"method {method!r} sets {unknown}, which is not a setting of a recipe; leave it out")
        given = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return type(self).model_validate(given | change | {"method": method})
        except ValidationError as reason:
            errors = "; ".join(
                f"{'.'.join(map(str, one['loc']))} {one['msg']}, got {one['input']!r}" for one in reason.errors()
            )
            raise SettingsError(f"method {method!r} is refused: {errors}") from reason
