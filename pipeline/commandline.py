"""The command line: flags, environment and a TOML file are one settings model, refused here and nowhere later."""

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from mole.errors import SettingsError
from pipeline import patience
from pipeline.given import Given, Names
from pipeline.log import LOG, is_yes
from pipeline.submission import demand_lasting

FLAG = re.compile(r"--[a-z][a-z-]*")
WORDS = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must name at least one",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table of names and values",
    "path_type": "must be a path",
    "datetime_from_date_parsing": "must be a time, such as 2026-11-01 or 2026-11-01T12:00:00Z",
    "datetime_parsing": "must be a time, such as 2026-11-01 or 2026-11-01T12:00:00Z",
}
"""What a value must be, by pydantic's name of the error, where its own words are not plain."""
BOTTOM = """\
Each flag may also stand in the environment ({example}=...) or in a TOML file (--config), under its own
name, with - or _. A flag wins over the environment, and the environment over the file. Of a setting that may be
repeated, a variable holds one value, or several as a list in JSON: '["a", "b"]'."""


class JobSettings(BaseModel):
    """What the settings of every job have in common; a job's own class names its settings and its variables' prefix.

    A list is a flag that may be repeated; a tuple is one flag with commas between its values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    prefix: ClassVar[str]
    """Of the variables of the environment."""
    flags: ClassVar[dict[str, str]] = {}
    """Settings whose flag has another name, which is also theirs in the environment and in files."""

    config: Path | None = Field(None, description="a TOML file with any of these settings (default: no file)")
    allow_relative: bool = Field(
        False,
        description="inside `ray job submit`, take paths relative to the copy of the folder that Ray makes there, "
        "which does not last",
    )

    log_json: bool = Field(False, description="say each line on stderr as one JSON object, with run, phase and counts")

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: object, asked: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(asked.field_name)].annotation is not bool:
            raise ValueError("must not be true or false")
        return value

    @classmethod
    def from_command_line(cls, arguments: Sequence[str]) -> Self:
        """Read the settings from flags, the environment and the file that `--config` names.

        Raises:
            SettingsError: a value is refused, a name is unknown, or the file cannot be read.
        """
        names = cls.names()
        flags = {name: Given(value, cls.flag(name)) for name, value in cls._flags(arguments).items()}
        given = names.variables(os.environ) | flags
        if "config" in given:
            given = names.file(given["config"]) | given
        if "log_json" in given and is_yes(given["log_json"].value):
            LOG.as_json()  # from here on: what is refused below is told as JSON too
        try:
            settings = cls.model_validate({name: one.value for name, one in given.items()})
        except ValidationError as reason:
            complaints = dict.fromkeys(cls._complaint(error, given) for error in reason.errors())
            raise SettingsError("; ".join(complaints)) from reason
        patience.seconds()  # it is no setting of a job, and is refused where they are all the same
        if not settings.allow_relative:
            demand_lasting({given[name].origin: places for name, places in settings.lasting().items() if name in given})
        return settings

    @classmethod
    def names(cls) -> Names:
        """Tell what the settings are called in the environment and in files."""
        several = frozenset(name for name, field in cls.model_fields.items() if get_origin(field.annotation) is list)
        return Names({cls.flag(name).lstrip("-"): name for name in cls.model_fields}, several, cls.prefix)

    @classmethod
    def flag(cls, name: str) -> str:
        """Write a setting's name as it stands on the command line."""
        return cls.flags.get(name, f"--{name.replace('_', '-')}")

    @classmethod
    def command_line(cls) -> argparse.ArgumentParser:
        """Make the command line; what is not given is left to the environment and the file."""
        own = cls.__annotations__
        fields = sorted(cls.model_fields.items(), key=lambda named: (not named[1].is_required(), named[0] not in own))
        example = cls.names().variable(cls.flag(fields[0][0]).lstrip("-"))
        parser = _Parser(
            description=cleandoc(cls.__doc__ or ""),
            epilog=BOTTOM.format(example=example),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        for name, field in fields:
            several = get_origin(field.annotation) is list
            action = "store_true" if field.annotation is bool else "append" if several else "store"
            parser.add_argument(cls.flag(name), dest=name, action=action, help=_told(field).replace("%", "%%"))
        return parser

    def lasting(self) -> dict[str, list[str]]:
        """List the places that must outlast the run: those it writes, and those that the table or a version names.

        Returns:
            Places by field.
        """
        values = {name: getattr(self, name) for name in LASTING if getattr(self, name, None) is not None}
        return {name: value if isinstance(value, list) else [str(value)] for name, value in values.items()}

    @classmethod
    def _flags(cls, arguments: Sequence[str]) -> dict[str, Any]:
        """Read the flags.

        Raises:
            SettingsError: one is unknown, or lacks its value.
        """
        read, rest = cls.command_line().parse_known_args(arguments)
        for word in rest[:1]:
            name = word.partition("=")[0]
            if not name.startswith("-"):
                raise SettingsError(
                    f"{word!r} belongs to no flag: a flag takes one value; repeat the flag for another, and put a "
                    "pattern between quotes"
                )
            like = cls.names().nearest(name.lstrip("-").replace("_", "-"))
            advice = f"did you mean --{like}?" if like else "--help lists the flags"
            raise SettingsError(f"there is no flag {name}; {advice}")
        return vars(read)

    @classmethod
    def _complaint(cls, error: Any, given: Mapping[str, Given]) -> str:
        """Say which setting is wrong, as the user wrote it, what it must be, and its value."""

        def written(flag: str) -> str:
            field = cls.names().fields.get(flag.lstrip("-"), "")
            return given[field].origin if field in given else flag

        kind, name = error["type"], str(error["loc"][0]) if error["loc"] else ""
        if kind == "missing":
            flag = cls.flag(name)
            where = f"{cls.names().variable(flag.lstrip('-'))} in the environment or {flag.lstrip('-')} in a file"
            return f"{flag} is required (as a flag, as {where})"
        if kind == "value_error":
            words = FLAG.sub(lambda found: written(found[0]), str(error["ctx"]["error"]))
        elif kind == "literal_error":
            words = f"must be {str(error['ctx']['expected']).replace(chr(39), '')}"
        else:
            plain = error["msg"].replace("Input should be", "must be").replace("greater than", "above")
            plain = plain.replace("above or equal to", "at least").replace("less than or equal to", "at most")
            words = WORDS.get(kind, plain.replace("less than", "below"))
        return f"{written(cls.flag(name))} {words}, got {error['input']!r}" if name else words


LASTING = ("reals", "source", "samples", "output", "table", "registry", "database", "report")
"""Settings whose places a run writes, or whose place the table or a version keeps."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse the command line as every other setting is refused.

        Raises:
            SettingsError: always.
        """
        told = message.removeprefix("argument ").replace("ignored explicit argument", "takes no value, got")
        raise SettingsError(told.replace("expected one argument", "a value must follow"))


def split_commas(value: object) -> object:
    """Take `a,b` from a flag or the environment, and a list from a file."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def read_json(value: object) -> object:
    """Take JSON from a flag or the environment, and what it would be from a file.

    Raises:
        ValueError: it is text and no JSON.
    """
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as reason:
        raise ValueError(f"must be JSON: {reason}") from reason


def _told(field: FieldInfo) -> str:
    """Write what --help tells of a setting: what it is, its choices, and what happens without it."""
    told, ending, shown = str(field.description).partition(" (default: ")
    if choices := _choices(field.annotation):
        told += f": {', '.join(choices[:-1])}{' or ' if choices[1:] else ''}{choices[-1]}"
    if field.is_required():
        return f"{told} (required)"
    if not ending:
        default = field.default
        plain = ",".join(map(str, default)) if isinstance(default, tuple) else default
        shown = f"{'off' if plain is False else plain})"
    return f"{told} (default: {shown}"


def _choices(annotation: Any) -> tuple[str, ...]:
    """List the values of a setting that is a choice, and of one that may be left out."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((_choices(part) for part in get_args(annotation) if get_origin(part) is Literal), ())
