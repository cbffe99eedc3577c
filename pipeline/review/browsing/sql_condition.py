"""SQL condition: validates a user's SQL condition, one boolean expression, with plain error messages."""

import re
from collections.abc import Callable
from typing import Any

import duckdb

from mole.errors import SettingsError
from pipeline.telemetry.printable import printable

Ask = Callable[[str], list[dict[str, Any]]]

HIDDEN_COLUMNS = ("gates", "preprocess", "same_as")
"""Columns that are not listed in messages."""
KINDS = (
    (r"\[\]$|LIST", "a list"),
    ("^STRUCT", "several values"),
    ("VARCHAR|STRING", "text"),
    ("BOOL", "true or false"),
    ("TIME|DATE", "a time"),
    ("BLOB", "bytes"),
    ("NULL", "nothing"),
    ("", "a number"),
)
"""Descriptions of value types by patterns of DuckDB's type names."""
REASONS: tuple[tuple[str, str], ...] = (
    (r'Referenced column "(.*?)" not found', "there is no column {0} (text stands in single quotes)"),
    (r'Could not find key "(.*?)" in struct.*?Candidate Entries: (.*)', "there is no {0} in that column, but {1}"),
    (r"Function with name (\S+) does not exist", "there is no function {0}"),
    (r'"(.*?)" is a table function', "{0} cannot be used here"),
    (r"Cannot compare values of type (.*?) and type (.*?) - an", "{0:kind} and {1:kind} cannot be compared"),
    (r"argument types '(.*?)\((.*)\)'", "{0} does not fit what it is used with"),
    (r"Could not convert string ('.*?') to (\S+)", "{0} is not {1:kind}"),
    (r"cannot contain (aggregates|window)", "it is asked of one image at a time, without count, sum and the like"),
    (r'syntax error at or near (".*?")', "something is missing or too much at {0}"),
    ("unterminated", "a quotation mark is not closed"),
    ("single expression|more than one statement", "only one is allowed, without a comma or a semicolon"),
    ("Values were not provided", "a query mark stands for no value"),
    ("STAR expression", "* stands for no column here"),
)
"""Patterns of DuckDB's messages, and plain messages for them."""


class _Part(str):
    """A part of DuckDB's message, which can be formatted as a description of its type."""

    def __format__(self, spec: str) -> str:
        return kind(self) if spec == "kind" else printable(self)


def kind(name: str) -> str:
    """Describe the values of a DuckDB type."""
    return next(words for pattern, words in KINDS if re.search(pattern, name))


def plain_message(reason: duckdb.Error) -> str:
    """Convert DuckDB's error to a plain message."""
    message = str(reason).partition("\n\nLINE ")[0]
    for pattern, words in REASONS:
        if found := re.search(pattern, message, re.DOTALL):
            return words.format(*map(_Part, found.groups()))
    return " ".join(re.sub(r"^[A-Z][\w ]* Error: ", "", message).split())


def normalize(text: str) -> str:
    """Parse a condition and return DuckDB's normalized form.

    Raises:
        SettingsError: it is not a single expression.
    """
    try:
        return str(duckdb.SQLExpression(text))
    except duckdb.Error as reason:
        raise SettingsError(f"the condition must be one expression of SQL: {plain_message(reason)}") from reason


def require_condition(ask: Ask, text: str) -> None:
    """Check that a condition is a boolean expression.

    Args:
        ask: runs a query on the snapshot.
        text: the user's text.

    Raises:
        SettingsError: it is not.
    """
    try:
        kinds = [str(row["column_type"]) for row in ask(f"DESCRIBE SELECT ({normalize(text)}) AS answer FROM images")]
        if kinds == ["BOOLEAN"]:
            ask(f"EXPLAIN SELECT id FROM images WHERE ({normalize(text)})")
            return
    except SettingsError as reason:
        raise SettingsError(f"{reason}; the columns are {_columns(ask)}") from reason
    given = kind(kinds[0]) if len(kinds) == 1 else "several values"
    raise SettingsError(
        f"the condition must be true or false of each image, and this is {given}; compare it with something, as in "
        "probability > 0.5 or format = 'png'"
    )


def _columns(ask: Ask) -> str:
    names = [str(row["column_name"]) for row in ask("DESCRIBE images")]
    return ", ".join(printable(name) for name in names if name not in HIDDEN_COLUMNS)
