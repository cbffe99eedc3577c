"""The recipe: everything that decides what a training gives, from flags, environment and a TOML file, refused once."""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, cast

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from mole.errors import SettingsError

PREFIX = "MOLE_TUNE_"


class Recipe(BaseSettings):
    """Train experts and a head on a frozen tower, measure them on sources held out, and write a checkpoint.

    Each flag may also stand in the environment (MOLE_TUNE_EPOCHS=...) or in a TOML file (--config recipe.toml).

    exit codes: 0 the checkpoint is written, 2 settings, 4 model
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        cli_prog_name="finetune.py",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
    )

    manifest: Path = Field(description="a CSV with path, label (real, fake), generator and source of each image")
    output: Path = Field(description="the checkpoint's folder; it holds the packed tower, or will hold a copy of it")
    tower: Path = Field(description="the tower's weights, in any of the forms that a checkpoint may name")
    backbone: str = Field("ViT-B-16-quickgelu", description="open_clip's name of the tower")
    tower_licence: str = Field("MIT (OpenAI CLIP)", description="what the model card says of the tower")
    autoencoder: Path | None = Field(None, description="a folder with taef2_*.pth, to compare reals with themselves")
    cache: Path | None = Field(None, description="a folder that keeps trunk tokens between runs")

    grids: tuple[str, ...] = Field((), description="sources whose images are 2 x 2 grids")
    split: tuple[str, ...] = Field((), description="sources of several generators, each held out on its own")
    folds: tuple[tuple[str, ...], ...] = Field((), description="sources held out together; none: nothing is measured")
    calibration: tuple[str, ...] = Field((), description="real sources kept out of the final training")

    view: Literal["resize", "crop"] = Field("resize", description="what the tower sees of an image")
    adapted_blocks: NonNegativeInt = Field(3, description="last blocks with experts")
    shared_rank: NonNegativeInt = Field(8, description="rank of the expert that is not gated")
    expert_ranks: tuple[PositiveInt, ...] = Field((4, 8, 16), description="ranks of the separate experts")
    aux_coef: NonNegativeFloat = Field(0.0, description="weight of the balance term")
    most: PositiveInt = Field(1000, description="images a source, at most")
    draws: NonNegativeInt = Field(1, description="augmented views an image, besides the aligned one")
    penalty: PositiveFloat = Field(5e-3, description="on the squared length of the head, fitted alone")
    steps: NonNegativeInt = Field(100, description="of head and experts together, after that")
    batch_size: PositiveInt = Field(16, description="views a step")
    head_rate: NonNegativeFloat = Field(1e-4, description="learning rate of the head in those steps")
    expert_rate: NonNegativeFloat = Field(1e-4, description="learning rate of the experts")
    decay: NonNegativeFloat = Field(0.0, description="weight decay")
    false_positive_rate: PositiveFloat = Field(0.01, description="wanted on held-out reals at generated_above")
    seed: NonNegativeInt = Field(0, description="decides every random draw")
    workers: PositiveInt = Field(2, description="trainings side by side, each on its share of the cores")
    config: Path | None = Field(None, description="a TOML file with any of these settings")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the places a setting may stand in: flags, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def from_command_line(cls, arguments: Sequence[str]) -> Self:
        """Read the recipe from flags, the environment and the file that `--config` names.

        Raises:
            SettingsError: a value is refused, a name is unknown, or the file cannot be read.
        """
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.add_argument("--config", type=Path)
        file: Path | None = first.parse_known_args(arguments)[0].config
        if file is not None and not file.is_file():
            raise SettingsError(f"--config {str(file)!r} is no file")

        class Configured(cls):  # type: ignore[misc, valid-type]
            __doc__ = cls.__doc__
            model_config = SettingsConfigDict(toml_file=file)

        try:
            read = Configured(_cli_parse_args=list(arguments))
        except ValidationError as reason:
            complaints = (f"{error['loc']}: {error['msg']}, got {error['input']!r}" for error in reason.errors())
            raise SettingsError("; ".join(complaints)) from reason
        except (SourceError, tomllib.TOMLDecodeError) as reason:
            raise SettingsError(str(reason)) from reason
        return cast(Self, cls.model_construct(**dict(read)))
