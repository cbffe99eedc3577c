"""JSON document: JSON that is not JSON Lines, an array of rows read as a stream, or another form of document."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from mole.errors import SettingsError
from pipeline.scan.reading.compression import Readable, filled
from pipeline.scan.reading.lines import CHUNK, ERRORS, Coding, coding_of, decoded
from pipeline.storage import storage

MAX_DOCUMENT_BYTES = 256 << 20
"""Maximum bytes of a document that is not an array, which every worker reads whole."""
MAX_ELEMENT_CHARACTERS = 256 << 20
EXPECTED = "expected JSON Lines, an array of objects, or an orient of pandas' to_json that names the columns"
BLANK = re.compile(r"[ \t\n\r]*")
Row = dict[str, Any]


def form_of(lines: Iterable[str], *, named: bool) -> str:
    """Tell JSON Lines (`jsonl`), an `array` and another `document` apart by the first two lines.

    Args:
        lines: the text.
        named: whether the file is named as JSON Lines, so that a broken first line does not make it a document.
    """
    filled_lines = (line.strip() for line in lines if line.strip())
    first, second = next(filled_lines, ""), next(filled_lines, "")
    if first.startswith("["):
        return "array"
    if not first.startswith("{"):
        return "jsonl"
    whole = _parsed(first)
    if whole is None:
        return "jsonl" if named and second and len(first) > 1 else "document"
    return "document" if not second and any(isinstance(value, dict | list) for value in whole.values()) else "jsonl"


class Elements:
    """An array's elements, each with its byte range (start, stop).

    Args:
        stream: the array, from its first byte.
        place: its name, for errors.
    """

    def __init__(self, stream: Readable, place: str) -> None:
        head = filled(stream, b"", CHUNK)
        coding = coding_of(head)
        self.encoding = coding.encoding
        self._text = _Text(stream, head, coding, place)

    def __iter__(self) -> Iterator[tuple[Any, int, int]]:
        text = self._text
        if text.sign() != "[":
            raise text.refusal("not an array")
        text.skip(1)
        if text.sign() == "]":
            return
        while True:
            text.sign()
            start = text.at
            element = text.element()
            yield element, start, text.at
            if (sign := text.sign()) == "]":
                return
            if sign != ",":
                raise text.refusal(f"expected a comma, not {sign!r}" if sign else "the array is cut")
            text.skip(1)


class _Text:
    """A stream's text, which drops what was passed."""

    def __init__(self, stream: Readable, head: bytes, coding: Coding, place: str) -> None:
        self._stream = stream
        self._coding = coding
        self._place = place
        self._decoder = codecs.getincrementaldecoder(coding.encoding)(ERRORS.get(coding.encoding, "replace"))
        self._text = self._decoder.decode(head[coding.begin :])
        self._from = 0
        self._ended = False
        self.at = coding.begin

    def sign(self) -> str:
        """Skip white space, and return the next character, empty at the end."""
        while True:
            found = BLANK.match(self._text, self._from)
            self.skip((found.end() if found else self._from) - self._from)
            if self._from < len(self._text):
                return self._text[self._from]
            if not self._more():
                return ""

    def element(self) -> Any:
        """Read the next element.

        Raises:
            SettingsError: it is not valid JSON, too deep or too long.
        """
        decoder = json.JSONDecoder()
        while True:
            try:
                element, end = decoder.raw_decode(self._text, self._from)
                if end < len(self._text) or self._ended:  # a number at the end may continue
                    self.skip(end - self._from)
                    return element
            except json.JSONDecodeError as reason:
                if self._ended:
                    raise self.refusal(str(reason)) from reason
            except (RecursionError, ValueError) as reason:  # also a number of thousands of digits
                raise self.refusal(str(reason) if isinstance(reason, ValueError) else "too deep") from reason
            if len(self._text) - self._from > MAX_ELEMENT_CHARACTERS:
                raise self.refusal(f"an element of more than {MAX_ELEMENT_CHARACTERS:,} characters, or none")
            self._more()

    def skip(self, characters: int) -> None:
        """Move on, and count the bytes."""
        skipped = self._text[self._from : self._from + characters]
        self.at += len(skipped.encode(self._coding.encoding, ERRORS.get(self._coding.encoding, "strict")))
        self._from += characters

    def refusal(self, reason: str) -> SettingsError:
        """Make the error for this byte."""
        return SettingsError(f"{self._place} is not valid JSON at byte {self.at:,}: {reason}; {EXPECTED}")

    def _more(self) -> bool:
        """Read as much again as is buffered, so that a long element is not parsed too often."""
        data = self._stream.read(max(CHUNK, len(self._text) - self._from))
        self._ended = not data
        self._text = self._text[self._from :] + self._decoder.decode(data, final=self._ended)
        self._from = 0
        return not self._ended


@lru_cache(maxsize=2)
def rows(url: str) -> tuple[Row, ...]:
    """Read a document's rows.

    Raises:
        SettingsError: it is too large, not JSON, or of an unsupported form.
        OSError: the store failed.
    """
    data = storage.read(url, max_bytes=MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise SettingsError(f"{url} is a JSON document over {MAX_DOCUMENT_BYTES:,} bytes; {EXPECTED}")
    try:
        document = json.loads(decoded(data, coding_of(data).encoding).lstrip("\ufeff"))
    except (ValueError, RecursionError) as reason:
        raise SettingsError(f"{url} is not JSON: {reason or 'too deep'}; {EXPECTED}") from reason
    return tuple(_rows(document, url))


def _rows(document: Any, place: str) -> list[Row]:
    """Find the rows of a document."""
    if not isinstance(document, dict):
        raise SettingsError(f"{place} holds a JSON {type(document).__name__}; {EXPECTED}")
    if not document:
        return []
    values = list(document.values())
    if any(isinstance(value, str) for name, value in document.items() if str(name).lower() in PLACES):
        return [document]
    if _is_split(document):
        names = [str(name) for name in document["columns"]]  # pandas has numbers and lists among them
        return [dict(zip(names, row, strict=False)) for row in document["data"]]
    if all(isinstance(value, dict) for value in values):
        inner = [value for value in values if not any(isinstance(cell, dict | list) for cell in value.values())]
        if len(inner) == len(values):
            return values if _has_place(values[0]) else _columns(document, place)
    lists = [value for value in values if isinstance(value, list) and value]
    if _has_place(document) and len(lists) == len(values):
        return _columns({name: dict(enumerate(column)) for name, column in document.items()}, place)
    holding = [value for value in lists if isinstance(value[0], dict) and _has_place(value[0])]
    if len(holding) == 1:
        return [row if isinstance(row, dict) else {} for row in holding[0]]
    raise SettingsError(f"{place} holds a JSON object of another form, with {list(islice(document, 8))}; {EXPECTED}")


def _columns(columns: dict[str, dict[Any, Any]], place: str) -> list[Row]:
    """Turn columns, each a mapping of row labels to values, into rows."""
    labels = next(iter(columns.values())).keys()
    uneven = [name for name, column in columns.items() if column.keys() != labels]
    if uneven:
        raise SettingsError(
            f"{place} is JSON of columns, and {uneven} have other rows than {next(iter(columns))!r}; {EXPECTED}"
        )
    return [{name: column[label] for name, column in columns.items()} for label in labels]


def _is_split(document: dict[str, Any]) -> bool:
    data = document.get("data")
    return (
        isinstance(document.get("columns"), list)
        and isinstance(data, list)
        and all(isinstance(row, list) for row in data)
    )


def _has_place(row: dict[str, Any]) -> bool:
    return any(str(name).lower() in PLACES for name in row)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


PLACES = ("uri", "url", "path", "key")
"""The columns that may hold a listing's URIs, in order of preference."""
