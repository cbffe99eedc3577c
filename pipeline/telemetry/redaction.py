"""Redaction: removes secrets of URLs from texts, for logs, leases and run records."""

import re
import shlex
import sys
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
MAX_CHARACTERS = 300
"""Maximum length of a command line; a scan may have thousands of sources."""
USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""User and password of a URL."""
QUERY = re.compile(r"(://[^\s?#'\"]+\?)[^\s#'\"]+")
"""Query of a URL, such as the signature of a presigned one."""


def redacted(text: str) -> str:
    """Replace user, password and query of every URL in a text."""
    return QUERY.sub(rf"\1{HIDDEN}", USER.sub(HIDDEN, text))


def redacted_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Redact all texts of a nested mapping."""
    return {name: _redacted(value) for name, value in values.items()}


def command_line() -> str:
    """Return this process's command line, redacted and truncated to 300 characters."""
    command = redacted(shlex.join(sys.argv))
    return command if len(command) <= MAX_CHARACTERS else f"{command[: MAX_CHARACTERS - 3]}..."


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return redacted_values(value)
    if isinstance(value, list | tuple):
        return [_redacted(one) for one in value]
    return value
