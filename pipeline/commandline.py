"""The command line: flags, environment and a TOML file are one settings model, refused here and nowhere later."""

import argparse
import tomllib
from collections.abc import Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from mole.errors import SettingsError


class JobSettings(BaseSettings):
    """What the settings of every job have in common; a job's own class names its settings and its `env_prefix`.

    A list is a flag that may be repeated; a tuple is one flag with commas between its values.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)
    flags: ClassVar[dict[str, str]] = {}
    """Settings whose flag has another name."""

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
        """Read the settings from flags, the environment and the file that `--config` names.

        Raises:
            SettingsError: a value is refused, a name is unknown, or the file cannot be read.
        """
        given = vars(cls.command_line().parse_args(arguments))
        file = given.get("config")
        if file is not None and not Path(file).is_file():
            raise SettingsError(f"--config {file!r} is no file")

        class Configured(cls):  # type: ignore[misc, valid-type]
            model_config = SettingsConfigDict(toml_file=file)

        try:
            read = Configured(**given)
        except ValidationError as reason:
            raise SettingsError("; ".join(cls._complaint(error) for error in reason.errors())) from reason
        except (SourceError, tomllib.TOMLDecodeError) as reason:
            raise SettingsError(str(reason)) from reason
        return cast(Self, cls.model_construct(_fields_set=read.model_fields_set, **dict(read)))

    @classmethod
    def flag(cls, name: str) -> str:
        """Write a setting's name as it stands on the command line."""
        return cls.flags.get(name, f"--{name.replace('_', '-')}")

    @classmethod
    def command_line(cls) -> argparse.ArgumentParser:
        """Make the command line; what is not given is left to the environment and the file."""
        parser = argparse.ArgumentParser(
            description=cleandoc(cls.__doc__ or ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        own = cls.__annotations__
        for name, field in sorted(
            cls.model_fields.items(), key=lambda named: (not named[1].is_required(), named[0] not in own)
        ):
            several = getattr(field.annotation, "__origin__", None) is list
            action = "store_true" if field.annotation is bool else "append" if several else "store"
            told = str(field.description)
            if get_origin(field.annotation) is Literal:
                told += f": {', '.join(get_args(field.annotation))}"
            if field.is_required():
                told += " (required)"
            elif field.default:
                told += f" (default: {field.default})"
            parser.add_argument(cls.flag(name), dest=name, action=action, help=told.replace("%", "%%"))
        return parser

    @classmethod
    def _complaint(cls, error: Any) -> str:
        """Say which setting is wrong, its value, and the bound."""
        name = cls.flag(str(error["loc"][0])) if error["loc"] else "settings"
        got = "" if error["type"] == "missing" else f", got {error['input']!r}"
        return f"{name}: {error['msg']}{got}"


def split_commas(value: object) -> object:
    """Take `a,b` from a flag or the environment, and a list from a file."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
