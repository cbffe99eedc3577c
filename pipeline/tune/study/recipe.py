"""The recipe of a study: everything that decides what a training gives, from flags, environment and a TOML file."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from mole.preprocess import Preprocess
from pipeline.commandline import JobSettings, read_json, split_commas

Method = Literal["linear", "lora", "mole"]
Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
PLACES = {
    "manifest",
    "output",
    "tower",
    "autoencoder",
    "cache",
    "config",
    "workers",
    "json_table",
    "allow_relative",
    "log_json",
}
"""Settings of this machine, that are no part of the recipe."""


def check_views(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse views of which no study can be made, and those of two scales, for a training sees but one.

    Raises:
        ValueError: they are such.
    """
    refusal = ValueError("must be resize, or some of crop, crop-4, texture-4")
    try:
        scales = {single for name in names for single in Preprocess.named(name).singles}
    except ValueError as reason:
        raise refusal from reason
    if len(scales) != 1:
        raise refusal
    return names


class Recipe(JobSettings):
    """Compare detectors on sources that none of them saw, train one on everything, and write its checkpoint.

    The frozen trunk runs once over every view and its tokens are kept, so the study is made for CPUs and for hundreds
    of images; finetune.py is for more.

    exit codes: 0 the table is printed and the checkpoint, if wanted, is written, 2 a setting or a place that is not
    there, 3 a store failed, 4 the model cannot be used, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_TUNE_"
    flags: ClassVar[dict[str, str]] = {"json_table": "--json"}

    manifest: Path = Field(description="a CSV with path, label (real, fake), generator and source of each image")
    tower: Path = Field(description="the tower's weights, in any of the forms that a checkpoint may name")
    output: Path | None = Field(
        None, description="the folder for the checkpoint of a last training on all sources (default: none)"
    )
    backbone: str = Field("ViT-B-16-quickgelu", description="open_clip's name of the tower")
    tower_licence: str = Field("MIT (OpenAI CLIP)", description="what the checkpoint says of the tower")
    autoencoder: Path | None = Field(
        None, description="a folder with taef2_*.pth or an AutoencoderKL, for the pairs (default: no pairs)"
    )
    cache: Path | None = Field(None, description="a folder that keeps trunk tokens between runs (default: none)")
    workers: PositiveInt = Field(2, description="trainings side by side, each on its share of the cores")
    json_table: bool = Field(False, description="print the figures as JSON on stdout and nothing else there")

    grids: Names = Field((), description="sources whose images are 2 x 2 grids (default: none)")
    split: Names = Field((), description="sources of several generators, each held out on its own (default: none)")
    folds: Annotated[tuple[tuple[str, ...], ...], BeforeValidator(read_json)] = Field(
        (), description="lists of sources that are held out together, in JSON (default: none, and nothing is measured)"
    )
    calibration: Names = Field((), description="real sources kept out of the last training (default: none)")
    most: PositiveInt = Field(1000, description="images a source, at most")
    caps: Annotated[dict[str, PositiveInt], BeforeValidator(read_json)] = Field(
        {}, description='the same for single sources, in JSON: {"coco": 200} (default: none)'
    )

    methods: Annotated[tuple[Method, ...], BeforeValidator(split_commas)] = Field(
        ("mole",),
        description="what is compared, with commas between; the checkpoint is of the last one",
    )
    views: Annotated[Names, AfterValidator(check_views)] = Field(
        ("crop",), description="what images are judged by: resize, or any of crop, crop-4, texture-4; the first is kept"
    )
    adapted_blocks: NonNegativeInt = Field(3, description="last blocks with experts")
    shared_rank: NonNegativeInt = Field(8, description="rank of the expert that is not gated")
    expert_ranks: Annotated[tuple[PositiveInt, ...], BeforeValidator(split_commas)] = Field(
        (4, 8, 16), description="ranks of the separate experts"
    )
    aux_coef: NonNegativeFloat = Field(0.0, description="weight of the balance term")
    draws: PositiveInt = Field(2, description="views an image; every other one pairs photographs")
    penalty: PositiveFloat = Field(5e-3, description="on the squared length of the head, fitted alone")
    steps: NonNegativeInt = Field(150, description="of head and experts together, after that")
    alone: PositiveInt = Field(5, description="generated views a step, and as many real ones")
    pairs: NonNegativeInt = Field(3, description="photographs a step with their reconstructions")
    patches: PositiveInt = Field(64, description="patch tokens that a step keeps; all are scored")
    head_rate: NonNegativeFloat = Field(1e-3, description="learning rate of the head in those steps")
    expert_rate: NonNegativeFloat = Field(1e-3, description="learning rate of the experts")
    decay: NonNegativeFloat = Field(0.0, description="weight decay")
    false_positive_rate: PositiveFloat = Field(0.01, description="wanted on held-out reals at generated_above")
    seed: NonNegativeInt = Field(0, description="decides every random draw")

    @property
    def specs(self) -> list[Preprocess]:
        """The views, spelled out."""
        return [Preprocess.named(name) for name in self.views]
