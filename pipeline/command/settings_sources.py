"""What a user gave: settings out of the environment and a TOML file, each under its flag's name, and who wrote it."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mole.errors import SettingsError

SERVICE_LINK = re.compile(r"([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)")
"""What Kubernetes itself puts into the environment of a pod beside a service `mole-scan`, behind MOLE_SCAN_."""
JSON_LIST = re.compile(r'\s*\[\s*"')
"""How a variable begins that has several values; any other text is one value, braces and brackets of globs too."""


@dataclass(frozen=True)
class SourcedValue:
    """One setting as it was given.

    Attributes:
        value: as its place holds it: text from a flag or a variable, any type of TOML from a file.
        origin: what the user wrote: `--batch-size`, `MOLE_SCAN_BATCH_SIZE`, `batch-size in 'scan.toml'`.
    """

    value: object
    origin: str


@dataclass(frozen=True)
class SettingNames:
    """What a job's settings are called.

    Attributes:
        fields: the field of each flag, without its dashes: `{"batch-size": "batch_size", "json": "json_summary"}`.
        several: the fields that are lists, of which a single value is one.
        prefix: of the job's variables.
    """

    fields: Mapping[str, str]
    several: frozenset[str]
    prefix: str

    def variables(self, environment: Mapping[str, str]) -> dict[str, SourcedValue]:
        """Read the job's variables, by field.

        Raises:
            SettingsError: a variable with the job's prefix is no setting, or one stands there twice.
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
                raise SettingsError(f"the variable {written} is no setting of this job; {advice}")
            _add(found, field, SourcedValue(self._listed(field, value, written), written))
        return found

    def file(self, named: SourcedValue) -> dict[str, SourcedValue]:
        """Read a TOML file, by field.

        Args:
            named: its path, and what named it.

        Raises:
            SettingsError: it cannot be read, a name in it is no setting, or one stands there twice.
        """
        path = str(named.value)
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as reason:
            raise SettingsError(f"{named.origin} {path!r} cannot be read as TOML: {_words(reason)}") from reason
        found: dict[str, SourcedValue] = {}
        for written, value in content.items():
            field = self.fields.get(written.replace("_", "-"))
            if field is None or field == "config":
                like = self.nearest(written.replace("_", "-"))
                advice = f"did you mean {like!r}?" if like else "its names are those of the flags, see --help"
                raise SettingsError(f"{written!r} in {path!r} is no setting of this job; {advice}")
            several = field in self.several and isinstance(value, str)
            _add(found, field, SourcedValue([value] if several else value, f"{written} in {path!r}"))
        return found

    def variable(self, name: str) -> str:
        """Write the variable of a flag, given without its dashes."""
        return self.prefix + name.upper().replace("-", "_")

    def nearest(self, name: str) -> str | None:
        """Find the flag whose name, or whose field's name, is most like one that nobody knows."""
        called = {field.replace("_", "-"): flag for flag, field in self.fields.items()} | {
            flag: flag for flag in self.fields
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
            raise SettingsError(f"{written}={text!r} begins as a list in JSON and is none: {reason}") from reason


def _add(found: dict[str, SourcedValue], field: str, given: SourcedValue) -> None:
    if field in found:
        raise SettingsError(f"{found[field].origin} and {given.origin} are one setting; keep one of them")
    found[field] = given


def _words(reason: Exception) -> str:
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
