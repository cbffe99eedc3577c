"""Settings of the jobs: flags, environment and a TOML file are one model, refused here and nowhere later."""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from mole.errors import SettingsError

PREFIX = "MOLE_SCAN_"
FLAGS = {"json_summary": "--json"}


class ScanSettings(BaseSettings):
    """Find AI-generated images: every image of a shard, a listing or a folder gets exactly one verdict.

    Each flag may also stand in the environment (MOLE_SCAN_OUTPUT=...) or in a TOML file (--config scan.toml); a flag
    wins over the environment, and the environment over the file.

    exit codes: 0 every row written, 2 settings, 3 storage, 4 model, 5 an image lost or counted twice
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
    )

    source: Annotated[list[str], Field(min_length=1)] = Field(
        description="a WebDataset shard, a glob or braces of shards, a folder, a listing (.parquet .csv .tsv .jsonl "
        ".txt with a column uri, url, path or key) or an image; any fsspec URL; may be repeated",
    )
    output: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    model: str = Field("embedded", description="a checkpoint folder, or 'embedded' for the detector that is shipped")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the detector runs")
    num_actors: PositiveInt | None = Field(None, description="scorers; one a GPU, or one a machine, where not given")
    batch_size: PositiveInt | None = Field(None, description="images a forward pass; 256 on a GPU, 16 on CPU")
    rows_per_file: PositiveInt | None = Field(None, description="rows a part; 50000 on a GPU, 256 on CPU")
    limit: PositiveInt | None = Field(None, description="stop after so many images; a later run goes on from there")
    carry: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="columns of the source to take along, with commas between them: url,caption"
    )
    image_member: str | None = Field(None, description="the extension that holds a shard sample's image")
    all_files: bool = Field(False, description="try every file of a folder, whatever its name")
    max_bytes: PositiveInt = Field(64 << 20, description="a file above this is too_large, unread")
    max_pixels: PositiveInt = Field(100_000_000, description="an image above this is too_large, undecoded")
    min_side: NonNegativeInt = Field(16, description="an image with a shorter side is too_small")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")
    ray_address: str | None = Field(None, description="a running cluster; a Ray of its own where not given")
    ray_logs: bool = Field(False, description="show what Ray itself and its workers print")
    config: Path | None = Field(None, description="a TOML file with any of these settings")

    @field_validator("carry", mode="before")
    @classmethod
    def _split_carry(cls, value: object) -> object:
        """Take `a,b` from a flag or the environment, and a list from a file."""
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("image_member")
    @classmethod
    def _bare_extension(cls, value: str | None) -> str | None:
        return None if value is None else value.lstrip(".").lower()

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
    def from_command_line(cls, arguments: Sequence[str]) -> "ScanSettings":
        """Read the settings from flags, the environment and the file that `--config` names.

        Raises:
            SettingsError: a value is refused, a name is unknown, or the file cannot be read.
        """
        given = vars(command_line(cls).parse_args(arguments))
        file = given.get("config")
        if file is not None and not Path(file).is_file():
            raise SettingsError(f"--config {file!r} is no file")

        class Configured(ScanSettings):
            model_config = SettingsConfigDict(toml_file=file)

        try:
            read = Configured(**given)
        except ValidationError as reason:
            raise SettingsError("; ".join(_complaint(error) for error in reason.errors())) from reason
        except (SourceError, tomllib.TOMLDecodeError) as reason:
            raise SettingsError(str(reason)) from reason
        return ScanSettings.model_construct(**dict(read))


def flag(name: str) -> str:
    """Write a setting's name as it stands on the command line."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def command_line(settings: type[BaseSettings]) -> argparse.ArgumentParser:
    """Make a command line of a settings model; what is not given is left to the environment and the file."""
    parser = argparse.ArgumentParser(
        description=settings.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for name, field in settings.model_fields.items():
        action = "store_true" if field.annotation is bool else "append" if field.annotation == list[str] else "store"
        told = f"{field.description} (default: {field.default})" if field.default else field.description
        parser.add_argument(flag(name), dest=name, action=action, help=str(told).replace("%", "%%"))
    return parser


def _complaint(error: object) -> str:
    """Say which setting is wrong, its value, and the bound."""
    if not isinstance(error, dict):
        return str(error)
    name = flag(str(error["loc"][0])) if error["loc"] else "settings"
    got = "" if error["type"] == "missing" else f", got {error['input']!r}"
    return f"{name}: {error['msg']}{got}"
