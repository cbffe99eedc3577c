"""Job settings: flags, environment variables and a TOML file become one validated settings model."""

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from mole.errors import SettingsError
from pipeline.command.help import DURABLE, help_text, metavar
from pipeline.command.settings_sources import SettingNames, SourcedValue
from pipeline.runtime import invocation
from pipeline.runtime.submission import require_durable
from pipeline.storage import retry
from pipeline.telemetry.log import LOG, is_true

FLAG = re.compile(r"--[a-z][a-z-]*")
ERROR_MESSAGES = {
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
"""Plain messages by pydantic's error type."""
EPILOG = """\
Each flag can also be set in the environment ({example}=...) or in a TOML file (--config), under its own
name, with - or _. A flag takes precedence over the environment, and the environment over the file. For a setting
that may be repeated, a variable holds one value, or several as a JSON list: '["a", "b"]'."""


class JobSettings(BaseModel):
    """Base class of the settings of all jobs.

    A list is a flag that may be repeated; a tuple is a flag with comma-separated values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    prefix: ClassVar[str]
    """Prefix of the environment variables."""
    flags: ClassVar[dict[str, str]] = {}
    """Flags that differ from the field's name, also in the environment and in files."""
    aliases: ClassVar[dict[str, str]] = {}
    """Second names of flags, accepted wherever the first is."""
    renamed: ClassVar[dict[str, str]] = {}
    """Settings by their former names, which stay accepted wherever the flag is; no help names them."""
    positional: ClassVar[str | None] = None
    """The setting of positional arguments: a list takes them all, any other setting one of them."""

    config: Path | None = Field(None, description="a TOML file with any of these settings (default: no file)")
    allow_relative: bool = Field(
        False,
        description="inside `ray job submit`, accept paths relative to the temporary copy of the folder that Ray makes",
    )

    log_json: bool = Field(False, description="log each line on stderr as a JSON object, with run, phase and counts")

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("must not be true or false")
        return value

    @classmethod
    def from_command_line(cls, arguments: Sequence[str]) -> Self:
        """Read the settings from flags, the environment and the file of `--config`.

        Raises:
            SettingsError: a value is invalid, a name is unknown, or the file cannot be read.
        """
        names = cls.names()
        given = names.variables(os.environ) | cls._flags(arguments)
        if "config" in given:
            given = names.file(given["config"]) | given
        if "log_json" in given and is_true(given["log_json"].value):
            LOG.as_json()  # before validation, so that its errors are JSON too
        given = cls.supplied(given) | given
        try:
            settings = cls.model_validate({name: one.value for name, one in given.items()})
        except ValidationError as reason:
            complaints = dict.fromkeys(cls._format_error(error, given) for error in reason.errors())
            raise SettingsError("; ".join(complaints)) from reason
        retry.max_seconds()  # not a setting of a job, but validated with them
        if not settings.allow_relative:
            require_durable(
                {given[name].origin: places for name, places in settings.durable_places().items() if name in given}
            )
        return settings

    @classmethod
    def names(cls) -> SettingNames:
        """Return the names of the settings in the environment and in files."""
        several = frozenset(name for name in cls.model_fields if cls._is_list(name))
        flags = {cls.flag(name).lstrip("-"): name for name in cls.model_fields}
        others = {flag.lstrip("-"): name for name, flag in cls.aliases.items()}
        former = {before.replace("_", "-"): name for before, name in cls.renamed.items()}
        return SettingNames(flags | others | former, several, cls.prefix)

    @classmethod
    def supplied(cls, given: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
        """Derive settings from others; overridden by jobs."""
        return {}

    @classmethod
    def flag(cls, name: str) -> str:
        """Return a setting's flag."""
        return cls.flags.get(name) or f"--{name.replace('_', '-')}"

    @classmethod
    def command_line(cls) -> argparse.ArgumentParser:
        """Create the parser; flags that are not given are left to the environment and the file."""
        parser = _Parser(
            prog=invocation.program(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        cls.fill(parser)
        return parser

    @classmethod
    def fill(cls, parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
        """Add the flags of the settings, with their help, to a parser.

        Returns:
            The actions of each setting: its flag and its positional argument.
        """
        fields = sorted(cls.model_fields.items(), key=lambda named: (not named[1].is_required(), cls._depth(named[0])))
        parser.description = cleandoc(cls.__doc__ or "")
        parser.epilog = EPILOG.format(example=cls.names().variable(cls.flag(fields[0][0]).lstrip("-")))
        taking: dict[str, list[argparse.Action]] = {}
        if cls.positional is not None:
            word, several = cls.positional, cls._is_list(cls.positional)
            taking[word] = [
                parser.add_argument(
                    POSITIONAL_DEST,
                    nargs="*",
                    metavar=word if several else word.upper(),
                    help=f"same as {cls.flag(word)}" + ("; may be repeated" if several else ""),
                )
            ]
        for name, field in fields:
            flags = [cls.flag(name), *([cls.aliases[name]] if name in cls.aliases else [])]
            kind: dict[str, Any] = {"action": "append" if cls._is_list(name) else "store"}
            kind |= {"metavar": metavar(flags[0], name, field.annotation)}
            kind = {"action": "store_true"} if field.annotation is bool else kind
            action = parser.add_argument(*flags, dest=name, help=help_text(field).replace("%", "%%"), **kind)
            taking[name] = [*taking.get(name, []), action]
            for before in (before for before, after in cls.renamed.items() if after == name):
                parser.add_argument(f"--{before.replace('_', '-')}", dest=name, **kind | {"help": argparse.SUPPRESS})
        return taking

    @classmethod
    def _depth(cls, name: str) -> int:
        """Return the depth in the class hierarchy at which a setting is defined."""
        return next(depth for depth, kind in enumerate(cls.__mro__) if name in vars(kind).get("__annotations__", ()))

    @classmethod
    def _is_list(cls, name: str) -> bool:
        return get_origin(cls.model_fields[name].annotation) is list

    def durable_places(self) -> dict[str, list[str]]:
        """Return the paths that must outlast the run: outputs, and those that the table or a version records.

        Returns:
            Paths and URLs by field.
        """
        values = {name: getattr(self, name) for name in DURABLE if getattr(self, name, None) is not None}
        return {name: value if isinstance(value, list) else [str(value)] for name, value in values.items()}

    @classmethod
    def _flags(cls, arguments: Sequence[str]) -> dict[str, SourcedValue]:
        """Parse flags and positional arguments.

        Raises:
            SettingsError: a flag is unknown or lacks its value, or there are too many positional arguments.
        """
        end = arguments.index("--") if "--" in arguments else len(arguments)
        read, rest = cls.command_line().parse_known_intermixed_args(arguments[:end])
        for word in (word for word in rest if word.startswith("-")):
            name = word.partition("=")[0]
            like = cls.names().nearest(name.lstrip("-").replace("_", "-"))
            advice = f"did you mean --{like}?" if like else "--help lists the flags"
            raise SettingsError(f"there is no flag {name}; {advice}")
        values = vars(read)
        words = [*values.pop(POSITIONAL_DEST, []), *rest, *arguments[end + 1 :]]
        given = {name: SourcedValue(value, cls.flag(name)) for name, value in values.items()}
        return given | cls._positional_values(words, given)

    @classmethod
    def _positional_values(cls, words: list[str], given: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
        """Convert positional arguments to their setting.

        Raises:
            SettingsError: there is no positional setting, or too many arguments.
        """
        if not words:
            return {}
        name = cls.positional
        if name is None:
            raise SettingsError(
                f"{words[0]!r} belongs to no flag: a flag takes one value; repeat the flag for another, and put a "
                "pattern between quotes"
            )
        before, flag = given.get(name), cls.flag(name)
        if cls._is_list(name):
            flagged = before.value if before is not None and isinstance(before.value, list) else []
            return {name: SourcedValue([*flagged, *words], flag)}
        if before is not None or len(words) > 1:
            first = f"{flag} {before.value!r}" if before is not None else repr(words[0])
            raise SettingsError(f"{first} and {words[-1]!r} are both given, and one {name} is taken; leave one out")
        return {name: SourcedValue(words[0], flag)}

    @classmethod
    def _format_error(cls, error: Any, given: Mapping[str, SourcedValue]) -> str:
        """Format a validation error: the setting as the user wrote it, what it must be, and its value."""

        def written(flag: str) -> str:
            """Name a setting as the user wrote it."""
            field = cls.names().fields.get(flag.lstrip("-"), "")
            return given[field].origin if field in given else flag

        kind, name = error["type"], str(error["loc"][0]) if error["loc"] else ""
        if kind == "missing":
            flag = cls.flag(name)
            where = f"{cls.names().variable(flag.lstrip('-'))} in the environment or {flag.lstrip('-')} in a file"
            return f"{flag} is required (as a flag, {'as an argument, ' if name == cls.positional else ''}as {where})"
        if kind == "value_error":
            words = FLAG.sub(lambda found: written(found[0]), str(error["ctx"]["error"]))
        elif kind == "literal_error":
            words = f"must be {str(error['ctx']['expected']).replace(chr(39), '')}"
        else:
            plain = error["msg"].replace("Input should be", "must be").replace("greater than", "above")
            plain = plain.replace("above or equal to", "at least").replace("less than or equal to", "at most")
            words = ERROR_MESSAGES.get(kind, plain.replace("less than", "below"))
        return f"{written(cls.flag(name))} {words}, got {error['input']!r}" if name else words


POSITIONAL_DEST = "words without a flag"
"""The destination of positional arguments."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise a parser error as a settings error.

        Raises:
            SettingsError: always.
        """
        text = message.removeprefix("argument ").replace("ignored explicit argument", "takes no value, got")
        raise SettingsError(text.replace("expected one argument", "a value must follow"))


def split_commas(value: object) -> object:
    """Split `a,b` from a flag or the environment; pass on a list from a file."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def read_json(value: object) -> object:
    """Parse JSON from a flag or the environment; pass on a value from a file.

    Raises:
        ValueError: it is not valid JSON.
    """
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as reason:
        raise ValueError(f"must be JSON: {reason}") from reason
