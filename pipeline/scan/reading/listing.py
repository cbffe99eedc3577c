"""A listing of URIs: how it is cut into slices, and how a slice is read again without the rest."""

import csv
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from mole.errors import SettingsError
from pipeline import storage
from pipeline.scan.reading.shard import as_text
from pipeline.scan.reading.unit import Slice

ROWS_A_SLICE = 256
SLICES, MOST_ROWS_A_SLICE = 4096, 4096
"""A Parquet listing above a million rows has larger slices: a billion rows are then a quarter of a million units."""
COLUMNS = ("uri", "url", "path", "key")
FORMS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "txt",
}
PROTOCOL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/?/")
SEPARATOR = {"csv": ",", "tsv": "\t"}
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Entry:
    """One row of a listing.

    Attributes:
        uri: where the image is; a relative path begins at the listing's folder. None where the row names none.
        text: the URI as the listing has it.
        carried: the columns that were asked for.
    """

    uri: str | None
    text: str
    carried: dict[str, str | None]


def form_of(url: str) -> str | None:
    """Tell a listing's form by the end of its name, None where it is no listing."""
    return FORMS.get(posixpath.splitext(storage.file_name(url).lower())[1])


def slices(url: str) -> Iterator[Slice]:
    """Cut a listing into slices, in one pass that keeps no row.

    Raises:
        SettingsError: the listing has no column of URIs.
        OSError: the store failed.
    """
    form = form_of(url)
    if form == "parquet":
        yield from _parquet_slices(url)
        return
    try:
        with _open(url) as stream:
            yield from _csv_slices(stream, form, url) if form in SEPARATOR else _line_slices(stream, str(form))
    except csv.Error as reason:
        raise SettingsError(f"{url} is no CSV: {reason}") from reason


def entries(url: str, part: Slice, carry: tuple[str, ...]) -> Iterator[Entry]:
    """Read one slice.

    Args:
        url: the listing.
        part: which of its rows.
        carry: the columns wanted beside the URI.

    Raises:
        OSError: the store failed.
    """
    base = posixpath.dirname(storage.file_name(url))
    for row in _rows(url, part, carry):
        text = as_text(row.get(part.column or "uri")) or ""
        yield Entry(_resolve(text.strip(), base), text, {name: as_text(row.get(name)) for name in carry})


def _rows(url: str, part: Slice, carry: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if part.form == "parquet":
        columns = (str(part.column), *(name for name in carry if name in part.columns and name != part.column))
        group = _row_group(url, part.span[0], columns)
        yield from group.slice(part.span[1], part.rows[1] - part.rows[0]).to_pylist()
        return
    text = storage.read_range(url, *part.span).decode("utf-8", "replace")
    if part.form in SEPARATOR:
        lines = (f"{line}\n" for line in text.split("\n"))
        for record in csv.reader(lines, delimiter=SEPARATOR[part.form]):
            if record:
                yield dict(zip(part.columns, record, strict=False))
    elif part.form == "jsonl":
        yield from (_json_row(line) for line in text.split("\n") if line.strip())
    else:
        yield from ({"uri": line.strip()} for line in text.split("\n") if line.strip())


def _resolve(text: str, base: str) -> str | None:
    if not text:
        return None
    if PROTOCOL.match(text) or text.startswith("/") or not base:
        return text
    return posixpath.normpath(storage.join(base, text)) if not PROTOCOL.match(base) else storage.join(base, text)


def _json_row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {"uri": row}


def _open(url: str) -> BinaryIO:
    fs, path = storage.filesystem(url)
    return fs.open(path, "rb")  # type: ignore[no-any-return]


def _column(names: list[str], url: str) -> str:
    by_name = {name.lower(): name for name in reversed(names)}
    for wanted in COLUMNS:
        if wanted in by_name:
            return by_name[wanted]
    raise SettingsError(f"{url} has the columns {names}; one of {list(COLUMNS)} must hold the URIs")


def _parquet_slices(url: str) -> Iterator[Slice]:
    with _open(url) as stream:
        try:
            file = pq.ParquetFile(stream)
        except pa.ArrowInvalid as reason:
            raise SettingsError(f"{url} is no Parquet file: {reason}") from reason
        names = file.schema_arrow.names
        column, first = _column(names, url), 0
        most = min(MOST_ROWS_A_SLICE, max(ROWS_A_SLICE, file.metadata.num_rows // SLICES))
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            for start in range(0, rows, most):
                count = min(most, rows - start)
                at = first + start
                yield Slice("parquet", (at, at + count), (group, start), tuple(names), column)
            first += rows


@lru_cache(maxsize=2)
def _row_group(url: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Read a row group once for the slices in it that follow each other."""
    with _open(url) as stream:
        return pq.ParquetFile(stream).read_row_group(group, columns=list(columns))


class _Lines:
    """A stream's lines as text, and how many bytes they took."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.at = 0

    def __iter__(self) -> Iterator[str]:
        for line in self.stream:
            text = line.removeprefix(BOM) if self.at == 0 else line
            self.at += len(line)
            yield text.decode("utf-8", "replace")


def _csv_slices(stream: BinaryIO, form: str, url: str) -> Iterator[Slice]:
    lines = _Lines(stream)
    records = csv.reader(lines, delimiter=SEPARATOR[form])
    names = next(records, [])
    column, row, start = _column(names, url), 0, lines.at
    filled = (record for record in records if record)
    while taken := sum(1 for _ in islice(filled, ROWS_A_SLICE)):
        yield Slice(form, (row, row + taken), (start, lines.at), tuple(names), column)
        row, start = row + taken, lines.at


def _line_slices(stream: BinaryIO, form: str) -> Iterator[Slice]:
    lines = _Lines(stream)
    row = start = 0
    column: str | None = None
    filled = (line for line in lines if line.strip())
    while batch := list(islice(filled, ROWS_A_SLICE)):
        if form == "jsonl" and column is None:
            column = _column(list(_json_row(batch[0])), "the first line of the listing")
        yield Slice(form, (row, row + len(batch)), (start, lines.at), (), column)
        row, start = row + len(batch), lines.at
