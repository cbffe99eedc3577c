"""The settings of a training and of a cross-validation: a recipe, and where what they make goes."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from mole.errors import SettingsError
from pipeline.tune.judging.perturbation import SHIPPED, perturbation
from pipeline.tune.training.recipe import Recipe


class FinetuneSettings(Recipe):
    """Train a detector on labelled images, calibrate and measure it on others, and put it into a registry as a version.

    Samples are read, audited and split by group first; nothing that was trained on is measured on. Run the same command
    again after a crash and it goes on from the last epoch.

    exit codes: 0 the version is in the registry, 2 a setting or a place that is not there, a leak, or too few images, 3
    a store failed, 4 the model cannot be used, 5 a row was lost, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_FINETUNE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    registry: Annotated[str, Field(min_length=1)] = Field(description="the folder URL where versions lie")
    init_from: str | None = Field(
        None,
        description="a digest of the registry or its first characters, a folder or 'embedded', whose adapters are gone "
        "on from; old and new are mixed in the end as validation wants it (default: new adapters)",
    )
    quick: bool = Field(False, description="a short training to try the road: few images, two short epochs")
    calibrate_from: Path | None = Field(
        None,
        description="what crossvalidate wrote: thresholds and temperature come from the images that its folds held "
        "out, of --method (default: from the calibration split)",
    )
    workers: PositiveInt = Field(1, description="training processes, one a GPU or sharing the CPUs")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")


class CrossvalidateSettings(Recipe):
    """Compare variations of a recipe on collections that none of them saw: each fold trains without them.

    Every fold and method goes through the training that finetune runs, on tokens that are made once. Run the same
    command again after a crash and it goes on from the last epoch of each.

    exit codes: 0 the table is printed and the figures are written, 2 a setting or a place that is not there, 3 a store
    failed, 4 the model cannot be used, 5 a row was lost, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_CROSSVALIDATE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    output: Path = Field(description="the folder for logits, figures and what the trainings leave")
    workers: PositiveInt = Field(2, description="trainings side by side, each on one core, or on one GPU")
    json_summary: bool = Field(False, description="print the figures as JSON on stdout and nothing else there")

    @field_validator("judged")
    @classmethod
    def _deliveries(cls, judged: tuple[str, ...]) -> tuple[str, ...]:
        for name in (SHIPPED, *judged):
            try:
                perturbation(name)
            except SettingsError as reason:
                raise ValueError(str(reason)) from reason
        return tuple(dict.fromkeys((SHIPPED, *judged)))

    @model_validator(mode="after")
    def _folded(self) -> Self:
        if len(self.folds) < 2:
            raise ValueError(f"--folds must name at least 2 lists of collections, got {len(self.folds)}")
        named = [name for fold in self.folds for name in fold]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"--folds must name each collection once, got {twice} twice")
        return self
