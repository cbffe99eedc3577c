"""Settings sources: reads settings from environment variables and a TOML file, and tracks the origin of each value."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mole.errors import SettingsError

SERVICE_LINK = re.compile(r"([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)")
"""Variables that Kubernetes sets for a service `mole-scan`, after MOLE_SCAN_; they are ignored."""
JSON_LIST = re.compile(r'\s*\[\s*"')
"""The start of a variable with a JSON list; any other text is one value, including braces and brackets of globs."""


@dataclass(frozen=True)
class SourcedValue:
    """A value and its source.

    Attributes:
        value: text from a flag or a variable, or any TOML type from a file.
        origin: where the user wrote it: `--batch-size`, `MOLE_SCAN_BATCH_SIZE`, `batch-size in 'scan.toml'`.
    """

    value: object
    origin: str


@dataclass(frozen=True)
class SettingNames:
    """The names of a job's settings.

    Attributes:
        fields: the field of each flag, without dashes: `{"batch-size": "batch_size", "json": "json_summary"}`; of
            several flags of a field, the first is its name and the others are accepted.
        several: the fields that are lists, for which a single value is a list of one.
        prefix: prefix of the job's variables.
    """

    fields: Mapping[str, str]
    several: frozenset[str]
    prefix: str

    def variables(self, environment: Mapping[str, str]) -> dict[str, SourcedValue]:
        """Read the job's environment variables, by field.

        Raises:
            SettingsError: a variable with the job's prefix is not a setting, or a setting is given twice.
        """
        found: dict[str, SourcedValue] = {}
        for written, value in environment.items():
            plain = written.upper().replace("-", "_")
            if not plain.startswith(self.prefix) or SERVICE_LINK.fullmatch(plain.removeprefix(self.prefix)):
                continue
            name = plain.removeprefix(self.prefix).lower().replace("_", "-")
            field = self.fields.get(name)
            if field is None:
                like = self.nearest(name)
                advice = f"did you mean {self.variable(like)}?" if like else "unset it, or see --help"
                raise SettingsError(f"the variable {written} is not a setting of this command; {advice}")
            _add(found, field, SourcedValue(self._listed(field, value, written), written))
        return found

    def file(self, named: SourcedValue) -> dict[str, SourcedValue]:
        """Read a TOML file, by field.

        Args:
            named: its path, with its source.

        Raises:
            SettingsError: it cannot be read, a name in it is not a setting, or a setting is given twice.
        """
        path = str(named.value)
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as reason:
            raise SettingsError(f"{named.origin} {path!r} cannot be read as TOML: {_message(reason)}") from reason
        found: dict[str, SourcedValue] = {}
        for written, value in content.items():
            field = self.fields.get(written.replace("_", "-"))
            if field is None or field == "config":
                like = self.nearest(written.replace("_", "-"))
                advice = f"did you mean {like!r}?" if like else "its names are those of the flags, see --help"
                raise SettingsError(f"{written!r} in {path!r} is not a setting of this command; {advice}")
            several = field in self.several and isinstance(value, str)
            _add(found, field, SourcedValue([value] if several else value, f"{written} in {path!r}"))
        return found

    def variable(self, name: str) -> str:
        """Return the environment variable of a flag, given without dashes."""
        return self.prefix + name.upper().replace("-", "_")

    def nearest(self, name: str) -> str | None:
        """Return the flag whose name or field name is most similar to an unknown one."""
        named = {field: flag for flag, field in reversed(list(self.fields.items()))}
        called = {field.replace("_", "-"): flag for field, flag in named.items()} | {
            flag: named[field] for flag, field in self.fields.items()
        }
        like = get_close_matches(name.lower(), called, n=1)
        return called[like[0]] if like else None

    def _listed(self, field: str, text: str, written: str) -> object:
        if field not in self.several:
            return text
        if not JSON_LIST.match(text):
            return [text]
        try:
            return json.loads(text)
        except ValueError as reason:
            raise SettingsError(f"{written}={text!r} begins like a JSON list and is not valid: {reason}") from reason


def _add(found: dict[str, SourcedValue], field: str, given: SourcedValue) -> None:
    if field in found:
        raise SettingsError(f"{found[field].origin} and {given.origin} are one setting; keep one of them")
    found[field] = given


def _message(reason: Exception) -> str:
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
