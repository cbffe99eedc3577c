"""Text listing (CSV, TSV, JSON, or one URI a line): splits it into slices, and reads the rows of a slice."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO

from pipeline.scan.reading import json_document
from pipeline.scan.reading.delimited_text import DelimitedTable
from pipeline.scan.reading.lines import Lines, decoded
from pipeline.scan.reading.parquet_listing import ROWS_PER_SLICE, column_of
from pipeline.scan.reading.unit import Slice
from pipeline.storage import storage

BYTES_PER_SLICE = 16 << 20
"""Bytes after which a slice ends, since a row may embed an image."""
URI = "uri"
"""The column of rows that are only text."""
TOO_WIDE = "\0too wide"
"""The column that marks a row with more fields than the listing has columns."""
Row = dict[str, Any]


def slices(url: str, form: str) -> Iterator[Slice]:
    """Split a text into slices, in one pass that keeps no row.

    Args:
        url: the listing.
        form: `csv`, `tsv`, `txt`, `jsonl` or `json`, by its name.

    Raises:
        SettingsError: it has no column of URIs, or its rows cannot be separated.
        OSError: the store failed.
    """
    if form in ("jsonl", "json"):
        yield from _json_slices(url, named=form == "jsonl")
        return
    with _open(url) as stream:
        lines = Lines(stream, url)
        if form == "txt":
            yield from _cut((None for line in lines if line.strip()), lines, lambda: _make(lines, "txt"))
        else:
            yield from _table_slices(lines, form, url)


def read_rows(url: str, piece: Slice) -> Iterator[Row]:
    """Read the rows of one slice.

    Raises:
        OSError: the store failed.
    """
    if piece.form == "document":
        yield from json_document.rows(url)[slice(*piece.rows)]
        return
    text = decoded(storage.read_range(url, *piece.span), piece.encoding)
    if piece.form == "array":
        yield from map(_as_row, json.loads(f"[{text}]"))
        return
    lines = (f"{line}{piece.newline}" for line in text.split(piece.newline))
    if piece.form == "jsonl":
        yield from (_json_row(line) for line in lines if line.strip())
    elif piece.form == "txt":
        yield from ({URI: line.rstrip("\r\n")} for line in lines if line.strip())
    else:
        table = DelimitedTable(url, piece.form, piece.columns, piece.column)
        yield from (_record(record, piece.columns) for record in table.records(lines))


def _cut(rows: Iterable[Any], lines: Lines, make: Callable[[], Callable[..., Slice]]) -> Iterator[Slice]:
    """Group rows into slices; `make` is called once the first slice's rows were read."""
    row, taken, start = 0, 0, lines.at
    for _ in rows:
        taken += 1
        if taken >= ROWS_PER_SLICE or lines.at - start >= BYTES_PER_SLICE:
            yield make()(rows=(row, row + taken), span=(start, lines.at))
            row, taken, start = row + taken, 0, lines.at
    if taken:
        yield make()(rows=(row, row + taken), span=(start, lines.at))


def _make(lines: Lines, form: str, **more: Any) -> Callable[..., Slice]:
    return partial(Slice, form, encoding=lines.coding.encoding, newline=lines.coding.newline, **more)


def _table_slices(lines: Lines, form: str, url: str) -> Iterator[Slice]:
    waiting = iter(lines)
    header = next(DelimitedTable(url, form).records(waiting, lambda: lines.count), None)
    if header is None:
        return
    names = tuple(name.strip() for name in header)
    column = column_of(list(names), url)
    make = _make(lines, form, columns=names, column=column)
    yield from _cut(DelimitedTable(url, form, names, column).records(waiting, lambda: lines.count), lines, lambda: make)


class _Keys:
    """The union of the names in the first rows of a JSON listing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._names: dict[str, None] = {}
        self._rows = 0

    def add(self, row: Row) -> Row:
        """Add a row's names."""
        if self._rows < ROWS_PER_SLICE:
            self._names |= dict.fromkeys(row)
        self._rows += 1
        return row

    def column(self) -> str:
        """Choose the column of URIs."""
        return column_of(list(self._names), self._url)


def _json_slices(url: str, *, named: bool) -> Iterator[Slice]:
    with _open(url) as stream:
        form = json_document.form_of(Lines(stream, url), named=named)
    keys = _Keys(url)
    if form == "document":
        yield from _document_slices(url, keys)
        return
    with _open(url) as stream:
        if form == "array":
            yield from _array_slices(stream, url, keys)
            return
        lines = Lines(stream, url)
        rows = (keys.add(_json_row(line)) for line in lines if line.strip())
        yield from _cut(rows, lines, lambda: _make(lines, "jsonl", column=keys.column()))


def _array_slices(stream: BinaryIO, url: str, keys: _Keys) -> Iterator[Slice]:
    row, taken, start, end = 0, 0, 0, 0
    elements = json_document.Elements(stream, url)
    for element, first, behind in elements:
        keys.add(_as_row(element))
        start, end, taken = first if not taken else start, behind, taken + 1
        if taken >= ROWS_PER_SLICE or end - start >= BYTES_PER_SLICE:
            yield Slice("array", (row, row + taken), (start, end), column=keys.column(), encoding=elements.encoding)
            row, taken = row + taken, 0
    if taken:
        yield Slice("array", (row, row + taken), (start, end), column=keys.column(), encoding=elements.encoding)


def _document_slices(url: str, keys: _Keys) -> Iterator[Slice]:
    json_document.rows.cache_clear()  # the plan reads the file as it is now
    rows = json_document.rows(url)
    for row in rows[:ROWS_PER_SLICE]:
        keys.add(row)
    for start in range(0, len(rows), ROWS_PER_SLICE):
        end = min(len(rows), start + ROWS_PER_SLICE)
        yield Slice("document", (start, end), (0, storage.size(url)), column=keys.column())


def _record(record: list[str], columns: tuple[str, ...]) -> Row:
    row: Row = dict(zip(columns, record, strict=False))
    if any(record[len(columns) :]):
        reason = f"the row has {len(record)} fields and the listing {len(columns)} columns"
        row[TOO_WIDE] = f"{reason}; quote fields that hold the separator"
    return row


def _json_row(line: str) -> Row:
    try:
        return _as_row(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def _as_row(value: Any) -> Row:
    return value if isinstance(value, dict) else {URI: value} if isinstance(value, str) else {}


def _open(url: str) -> BinaryIO:
    fs, path = storage.filesystem(url)
    return fs.open(path, "rb")  # type: ignore[no-any-return]
