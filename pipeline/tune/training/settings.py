"""Settings of finetune and crossvalidate: a recipe, and where the results go."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from mole.errors import SettingsError
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.evaluation.perturbation import ORIGINAL, perturbation, stored_name
from pipeline.tune.training.recipe import Recipe

RENAMED = {
    **SampleSettings.renamed,
    "most_leak": "max_leak",
    "tokens": "token_cache",
    "deliveries": "augmentations",
    "head_rate": "head_lr",
    "expert_rate": "expert_lr",
    "decay": "weight_decay",
    "judged": "perturbations",
}
"""Settings of a recipe by their former names."""


class FinetuneSettings(Recipe):
    """Train a detector on labelled images, calibrate and evaluate it on others, and add it to a registry.

    Samples are first read, audited and split by group; images of the training split are never used for evaluation.
    After a crash, run the same command again to resume from the last epoch.

    exit codes: 0 the version is in the registry, 2 invalid settings, a missing input, a leak or too few images,
    3 a store failed, 4 the model cannot be used, 5 the completeness check failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_FINETUNE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = RENAMED

    registry: Annotated[str, Field(min_length=1)] = Field(
        description="folder or URL of the registry, which stores the versions"
    )
    init_from: str | None = Field(
        None,
        description="version whose adapters training starts from: a digest in the registry or its first characters, a "
        "folder, or 'embedded'; at the end, old and new adapters are interpolated by the validation score (default: "
        "new adapters)",
    )
    quick: bool = Field(False, description="smoke test: a short training on few images, with two short epochs")
    calibrate_from: Path | None = Field(
        None,
        description="ladder.json of crossvalidate: take thresholds and temperature of --method from the images that "
        "its folds held out (default: from the calibration split)",
    )
    workers: PositiveInt = Field(1, description="number of training processes: one per GPU, or sharing the CPUs")
    json_summary: bool = Field(False, description="print a JSON summary to stdout instead of the table")


class CrossvalidateSettings(Recipe):
    """Compare variations of a recipe by cross-validation: each fold holds out whole collections from training.

    Every method and fold runs the same training as finetune, on tokens that are computed once. After a crash, run the
    same command again to resume each training from its last epoch.

    exit codes: 0 the results are written, 2 invalid settings or a missing input, 3 a store failed, 4 the model cannot
    be used, 5 the completeness check failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_CROSSVALIDATE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = RENAMED

    output: Path = Field(description="folder for logits, metrics and the runs of all trainings")
    workers: PositiveInt = Field(
        2, description="trainings to run in parallel, each on one core and an equal share of the GPUs"
    )
    json_summary: bool = Field(False, description="print the metrics as JSON to stdout instead of the table")

    @field_validator("perturbations")
    @classmethod
    def _known(cls, perturbations: tuple[str, ...]) -> tuple[str, ...]:
        for name in (ORIGINAL, *perturbations):
            try:
                perturbation(name)
            except SettingsError as reason:
                raise ValueError(str(reason)) from reason
        return tuple(dict.fromkeys((ORIGINAL, *map(stored_name, perturbations))))

    @model_validator(mode="after")
    def _folded(self) -> Self:
        if len(self.folds) < 2:
            raise ValueError(f"--folds must contain at least 2 lists of collections, got {len(self.folds)}")
        named = [name for fold in self.folds for name in fold]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"--folds must name each collection once, got {twice} twice")
        return self
