"""The recipe of a training: everything that decides what it gives, whoever calls it, refused once."""

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
from pipeline.tune.judging.perturbation import ALIGNED, NATIVE, SHIPPED
from pipeline.tune.training.stages import NAMES, ROUTER


def view_name(name: str) -> str:
    """Refuse the name of no view.

    Raises:
        ValueError: it is none.
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
    "tokens",
    "ray_address",
    "ray_logs",
    "log_json",
    "json_summary",
    "config",
    "reviews",
    "allow_relative",
    "folds",
    "judged",
    "methods",
    "method",
    "output",
    "calibrate_from",
}
"""Settings that say where and how, and change nothing of what is trained."""
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
"""Settings that are the detector's own."""
NO_TOKENS = "none"
Numbers = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(split_commas)]


class StageSettings(BaseModel):
    """A stage of a training; see `pipeline.tune.training.task.Stage`."""

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
    """What decides a training, whoever calls it: one file holds it for both jobs."""

    base: str = Field(
        "embedded",
        description="the checkpoint whose tower, shape and view are taken: a folder, "
        "a registry (its promoted version) or 'embedded'",
    )
    base_tower: str | None = Field(
        None,
        description="begin on this tower in place of a base: open_clip's name or timm's, ViT-L-14-quickgelu, "
        "PE-Core-L-14-336 or vit_base_patch16_dinov3 (default: the base's)",
    )
    pretrained: str | None = Field(
        None, description="that tower's weights: a tag, which is downloaded, or a local file (default: none)"
    )
    hold_out: Names = Field(
        (),
        description="generators or collections kept out of training, whose mean decides when to stop (default: none)",
    )
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="of groups, that decide when to stop; with 0 and nothing held out the last epoch stays",
    )
    calibration_share: float = Field(0.15, ge=0, lt=1, description="of groups, that set temperature and thresholds")
    test_share: float = Field(0.15, ge=0, lt=1, description="of groups, that nothing is fitted to: the gate's")
    align: bool = Field(False, description="give both classes the formats, qualities and sizes of the reals first")
    accept_leak: bool = Field(False, description="train although the files alone give the classes away")
    most_leak: PositiveFloat = Field(0.65, description="AUROC of the files' metadata above which training refuses")

    view: Annotated[str, AfterValidator(view_name)] | None = Field(
        None,
        description="what an image is judged by: resize, crop, crop-4, texture-4, resize+crop (default: the base's)",
    )
    adapted_blocks: NonNegativeInt | None = Field(None, description="last blocks with experts (default: the base's)")
    shared_rank: NonNegativeInt | None = Field(
        None, description="rank of the expert that is not gated (default: the base's)"
    )
    expert_ranks: Annotated[tuple[PositiveInt, ...] | None, BeforeValidator(split_commas)] = Field(
        None, description="ranks of the separate experts, 4,8,16 (default: the base's)"
    )
    blocks: Numbers | None = Field(
        None, description="blocks with experts, from 0, in place of --adapted-blocks (default: the base's)"
    )
    reads: Numbers | None = Field(
        None, description="after how many blocks the head reads, 6,8,10,12 (default: the base's; none: the feature)"
    )
    pooling: Names | None = Field(None, description="what of each read: class, mean, deviation (default: the base's)")
    head: Literal["layers", "kernel"] | None = Field(
        None, description="linear layers, or linear in nearness to training images (default: the base's)"
    )
    head_depth: PositiveInt | None = Field(None, description="of its linear layers (default: the base's)")
    head_width: PositiveInt | None = Field(None, description="of the layers between (default: the base's)")
    components: PositiveInt | None = Field(None, description="that a kernel keeps of a read (default: the base's)")
    centres: PositiveInt | None = Field(None, description="of a kernel (default: the base's)")
    aux_coef: NonNegativeFloat = Field(0.0, description="weight of the balance term")
    precision: Literal["bfloat16", "float32"] = Field("bfloat16", description="of the frozen tower in training")

    tokens: str | None = Field(
        None,
        description="the folder that keeps what the frozen blocks gave, for this and any later training on the same "
        "tower, or 'none' to make views anew in each epoch (default: a folder of the run, where that is local)",
    )
    cluster_contents: bool = Field(
        False,
        description="where no list tells what is in an image, take what looks alike for one content, so that draws are "
        "balanced over it; takes tokens",
    )
    deliveries: PositiveInt = Field(4, description="random deliveries of an image that are kept")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where training runs")
    epochs: NonNegativeInt = Field(6, description="at most; with 0 the head alone is fitted, to all that is kept")
    epoch_images: PositiveInt | None = Field(
        None, description="draws an epoch (default: as many as images, 20000 at most)"
    )
    batch_size: PositiveInt = Field(16, description="draws a step, over all workers")
    head_images: NonNegativeInt = Field(
        512, description="draws that the head is fitted to before any step is taken, where no tokens are kept"
    )
    penalty: PositiveFloat = Field(5e-3, description="on the squared length of that head")
    head_rate: NonNegativeFloat = Field(1e-4, description="highest learning rate of the head after that")
    expert_rate: NonNegativeFloat = Field(2e-4, description="highest learning rate of the experts")
    decay: NonNegativeFloat = Field(0.0, description="weight decay")
    patience: PositiveInt = Field(3, description="epochs without a better validation score before it stops")
    consistency: NonNegativeFloat = Field(
        0.0, description="weight of the squared difference between two deliveries of an image, which share a step then"
    )
    patches: PositiveInt | None = Field(
        None, description="patch tokens that a step keeps, so that it costs less; all are scored (default: all)"
    )
    stages: Annotated[tuple[StageSettings, ...], BeforeValidator(read_json)] = Field(
        (),
        description="parts of the training, in JSON or as tables of a file: name, epochs, learns (alpha, beta, gamma, "
        "shared, router; none for all), kinds (of generated images; none for all), head (layers: a linear one while "
        "experts learn), penalty (default: one, of --epochs)",
    )
    false_positive_rate: PositiveFloat = Field(0.01, description="wanted of held-out reals at generated_above")
    unsure_rate: PositiveFloat = Field(0.1, description="of held-out reals that may lie above real_below")

    folds: Annotated[tuple[Names, ...], BeforeValidator(read_json)] = Field(
        (), description="lists of collections that are held out together, in JSON, for crossvalidate (default: none)"
    )
    judged: Names = Field(
        (SHIPPED, ALIGNED, NATIVE), description="deliveries in which crossvalidate judges, as evaluate has them"
    )
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(read_json)] = Field(
        {}, description="named variations of these settings, in JSON or as tables of a file (default: none)"
    )
    method: str | None = Field(None, description="the variation that is trained (default: the settings as they are)")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if (self.base_tower is None) != (self.pretrained is None):
            raise ValueError(
                "--base-tower and --pretrained go together: a tower, and the tag or the file of its weights"
            )
        if self.base_tower is not None and self.base != "embedded":
            raise ValueError("--base-tower begins anew; leave --base out")
        if self.stages and self.stages[-1].learns and ROUTER not in self.stages[-1].learns:
            raise ValueError(f"the last of --stages must learn the {ROUTER}, got {self.stages[-1].learns}")
        if self.stages and self.stages[-1].head is not None:
            raise ValueError(f"the last of --stages must fit the detector's own head, got {self.stages[-1].head!r}")
        if self.method is not None and self.method not in self.methods:
            raise ValueError(f"--method must be one of {sorted(self.methods)}, got {self.method!r}")
        if self.consistency and self.batch_size % 2:
            raise ValueError(f"--batch-size must be even with --consistency, got {self.batch_size}")
        if self.tokens == NO_TOKENS and 0 in {self.epochs, *(stage.epochs for stage in self.stages)}:
            raise ValueError("--epochs must be 1 or more with --tokens none, for nothing is there to fit the head to")
        return self

    def varied(self, method: str | None) -> Self:
        """Apply a named variation; None leaves the settings as they are.

        Raises:
            SettingsError: it sets what is not there, or what is refused.
        """
        if method is None:
            return self
        change = self.methods[method]
        own = set(Recipe.model_fields) - set(SampleSettings.model_fields) - RUNTIME_SETTINGS | {"seed"}
        unknown = sorted(set(change) - own)
        if unknown:
            raise SettingsError(f"method {method!r} sets {unknown}, which is no part of a recipe; leave it out")
        given = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return type(self).model_validate(given | change | {"method": method})
        except ValidationError as reason:
            told = "; ".join(
                f"{'.'.join(map(str, one['loc']))} {one['msg']}, got {one['input']!r}" for one in reason.errors()
            )
            raise SettingsError(f"method {method!r} is refused: {told}") from reason
