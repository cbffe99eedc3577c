"""The settings of a training: everything that decides what it gives, refused once."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from mole.preprocess import Preprocess
from pipeline.commandline import split_commas
from pipeline.tune.data.settings import Names, SampleSettings


def view_name(name: str) -> str:
    """Refuse the name of no view.

    Raises:
        ValueError: it is none.
    """
    try:
        return Preprocess.named(name).name
    except ValueError as reason:
        raise ValueError("must be resize, crop, crop-4, texture-4 or resize+crop") from reason


ELSEWHERE = {
    "samples",
    "registry",
    "workers",
    "device",
    "ray_address",
    "ray_logs",
    "log_json",
    "json_summary",
    "config",
    "reviews",
    "allow_relative",
}
"""Settings that say where and how, and change nothing of what is trained."""


class FinetuneSettings(SampleSettings):
    """Train a detector on labelled images, calibrate and measure it on others, and put it into a registry as a version.

    Samples are read, audited and split by group first; nothing that was trained on is measured on. Run the same command
    again after a crash and it goes on from the last epoch.

    exit codes: 0 the version is in the registry, 2 a setting or a place that is not there, a leak, or too few images, 3
    a store failed, 4 the model cannot be used, 5 a row was lost, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_FINETUNE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    registry: Annotated[str, Field(min_length=1)] = Field(description="the folder URL where versions lie")
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
    init_from: str | None = Field(
        None,
        description="a digest of the registry or its first characters, a folder or 'embedded', whose adapters are gone "
        "on from; old and new are mixed in the end as validation wants it (default: new adapters)",
    )
    quick: bool = Field(False, description="a short training to try the road: few images, two short epochs")

    hold_out: Names = Field(
        (), description="generators kept out of training, whose mean decides when to stop (default: none)"
    )
    validation_share: float = Field(0.1, gt=0, lt=1, description="of groups, that decide when to stop")
    calibration_share: float = Field(0.15, gt=0, lt=1, description="of groups, that set temperature and thresholds")
    test_share: float = Field(0.15, gt=0, lt=1, description="of groups, that nothing is fitted to: the gate's")
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
    aux_coef: NonNegativeFloat = Field(0.0, description="weight of the balance term")
    precision: Literal["bfloat16", "float32"] = Field("bfloat16", description="of the frozen tower in training")

    workers: PositiveInt = Field(1, description="training processes, one a GPU or sharing the CPUs")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where they run")
    epochs: PositiveInt = Field(6, description="at most")
    epoch_images: PositiveInt | None = Field(
        None, description="draws an epoch (default: as many as images, 20000 at most)"
    )
    batch_size: PositiveInt = Field(16, description="draws a step, over all workers")
    head_images: NonNegativeInt = Field(512, description="draws that the head is fitted to before any step is taken")
    penalty: PositiveFloat = Field(5e-3, description="on the squared length of that head")
    head_rate: NonNegativeFloat = Field(1e-4, description="highest learning rate of the head after that")
    expert_rate: NonNegativeFloat = Field(2e-4, description="highest learning rate of the experts")
    decay: NonNegativeFloat = Field(0.0, description="weight decay")
    patience: PositiveInt = Field(3, description="epochs without a better validation score before it stops")
    false_positive_rate: PositiveFloat = Field(0.01, description="wanted of held-out reals at generated_above")
    unsure_rate: PositiveFloat = Field(0.1, description="of held-out reals that may lie above real_below")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if (self.base_tower is None) != (self.pretrained is None):
            raise ValueError(
                "--base-tower and --pretrained go together: a tower, and the tag or the file of its weights"
            )
        if self.base_tower is not None and (self.init_from is not None or self.base != "embedded"):
            raise ValueError("--base-tower begins anew; leave --base and --init-from out")
        return self
