"""Delimited text (CSV and TSV): parses records, and refuses quotes that swallow rows.

A quote that is never closed swallows the following lines, and their rows are silently lost. So a record of several
lines is checked: it must be strict CSV, and none of its inner lines may be a row itself. TSV has no quotes.
Source: RFC 4180; the TSV format as IANA registers it.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mole.errors import SettingsError
from pipeline.images.extension import is_image

MAX_FIELD_CHARACTERS = 256 << 20
"""Maximum characters of a field, enough for an embedded image."""
PLACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/?/\S+|\S*/\S+")
Record = list[str]

csv.field_size_limit(MAX_FIELD_CHARACTERS)


@dataclass(frozen=True)
class DelimitedTable:
    """A file of records.

    Attributes:
        place: the file's name, for errors.
        form: `csv` or `tsv`.
        columns: the names in its first record; empty before that is read.
        column: which of them holds the URI.
    """

    place: str
    form: str
    columns: tuple[str, ...] = ()
    column: str | None = None

    def records(self, lines: Iterable[str], line: Callable[[], int] | None = None) -> Iterator[Record]:
        """Yield records; blank lines are skipped.

        Args:
            lines: with their endings.
            line: returns how many lines were read.

        Raises:
            SettingsError: a quote swallows lines, or a field is invalid.
        """
        if self.form == "tsv":
            yield from (text.rstrip("\r\n").split("\t") for text in lines if text.strip("\r\n "))
            return
        held: list[str] = []
        reader = csv.reader(_recorded(lines, held))
        while True:
            try:
                record = next(reader, None)
            except csv.Error as reason:
                raise self._refusal(held, line, str(reason)) from reason
            if record is None:
                return
            if len(held) > 1:
                self._check(held, line)
            blank = not any(line.strip() for line in held)
            held.clear()
            if not blank:
                yield record

    def _check(self, held: list[str], line: Callable[[], int] | None) -> None:
        """Insist that a record of several lines is one record."""
        try:
            list(csv.reader(held, strict=True))
        except csv.Error as reason:
            raise self._refusal(held, line, str(reason)) from reason
        if self.column is None:
            return
        for inner in held[1:]:
            if self._is_row(inner):
                raise self._refusal(held, line, f"one of them is a row itself: {inner.strip()[:80]!r}")

    def _is_row(self, text: str) -> bool:
        """Tell whether a line alone is a row with a URI."""
        try:
            fields = next(csv.reader([text]), [])
        except csv.Error:  # such as a carriage return outside quotes
            return False
        return len(fields) == len(self.columns) and is_place(fields[self.columns.index(str(self.column))])

    def _refusal(self, held: list[str], line: Callable[[], int] | None, reason: str) -> SettingsError:
        first = "" if line is None else f" line {line() - len(held) + 1:,}:"
        swallowed = f"a quoted field takes in {len(held) - 1:,} more lines" if len(held) > 1 else "no CSV"
        return SettingsError(
            f"{self.place}:{first} {swallowed}: {reason}; close the quote or double it, or write the listing as "
            "Parquet, JSON Lines or TSV"
        )


def is_place(text: str) -> bool:
    """Tell whether a field looks like a path or a URL."""
    return is_image(text) or PLACE.fullmatch(text.strip()) is not None


def _recorded(lines: Iterable[str], held: list[str]) -> Iterator[str]:
    for line in lines:
        held.append(line)
        yield line
