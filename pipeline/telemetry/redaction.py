"""Redaction: texts that name places, without the secrets that their URLs may hold, for logs, leases and run records."""

import re
import shlex
import sys
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
MOST_CHARACTERS = 300
"""Of a command line; a scan may have thousands of sources."""
USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""User and password of a URL."""
QUERY = re.compile(r"(://[^\s?#'\"]+\?)[^\s#'\"]+")
"""What follows the question mark of a URL: a presigned one's signature."""


def redacted(text: str) -> str:
    """Hide user, password and query of every URL in a text."""
    return QUERY.sub(rf"\1{HIDDEN}", USER.sub(HIDDEN, text))


def redacted_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Hide them in every text of a mapping, whatever it is nested in."""
    return {name: _redacted(value) for name, value in values.items()}


def command_line() -> str:
    """Write how this process was started, redacted and cut to 300 characters."""
    command = redacted(shlex.join(sys.argv))
    return command if len(command) <= MOST_CHARACTERS else f"{command[: MOST_CHARACTERS - 3]}..."


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return redacted_values(value)
    if isinstance(value, list | tuple):
        return [_redacted(one) for one in value]
    return value
