"""A Parquet file as a listing: of URIs, or of the images themselves, as Hugging Face writes them.

Hugging Face's form is a struct of `bytes` and `path` for each image, and a note in the schema which columns are images.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from mole.errors import SettingsError
from pipeline.scan.reading.document import PLACES
from pipeline.scan.reading.member_types import begins_as_image
from pipeline.scan.reading.parquet_file import parquet
from pipeline.scan.reading.unit import Slice

ROWS_A_SLICE = 256
SLICES, MOST_ROWS_A_SLICE = 4096, 4096
"""A Parquet listing above a million rows has larger slices: a billion rows are then a quarter of a million units."""
BYTES_A_SLICE = 256 << 20
SLICES_A_GROUP = 4
"""At most: of a row group with images each slice reads over those before it, for pages cannot be found by a row."""
BYTES_A_BATCH, ROWS_A_BATCH = 16 << 20, 64
TRIED = 16
"""Rows whose bytes tell whether a column of bytes holds images."""
FEATURES = b"huggingface"


@dataclass(frozen=True)
class Pictures:
    """A column of images.

    Attributes:
        name: the column's.
        lists: whether each row holds any number of them.
    """

    name: str
    lists: bool


def slices(url: str, image_member: str | None) -> Iterator[Slice]:
    """Cut a Parquet file into slices of its row groups.

    Args:
        url: the file.
        image_member: the only column of images that is wanted, where there is one of that name.

    Raises:
        SettingsError: it holds neither images nor URIs.
        TornError: it is damaged, or no Parquet file.
        OSError: the store failed.
    """
    with parquet(url) as file:
        names = tuple(file.schema_arrow.names)
        if found := _pictures(file):
            named = [pictures for pictures in found if pictures.name == image_member] or found
            for pictures in named:
                for piece in _image_slices(file, pictures):
                    yield replace(piece, columns=names, several=len(found) > 1)
            return
        column, first = _place_column(file, url), 0
        most = min(MOST_ROWS_A_SLICE, max(ROWS_A_SLICE, file.metadata.num_rows // SLICES))
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            for start in range(0, rows, most):
                at, count = first + start, min(most, rows - start)
                yield Slice("parquet", (at, at + count), (group, start), names, column)
            first += rows


def column_of(names: list[str], place: str) -> str:
    """Choose the column of URIs: of several spellings the one in small letters.

    Raises:
        SettingsError: there is none, or several that are as good.
    """
    for wanted in PLACES:
        alike = [name for name in names if name.lower() == wanted]
        if len(alike) > 1 and alike.count(wanted) != 1:
            raise SettingsError(f"{place} has the columns {alike}; call the one that holds the URIs {wanted!r}")
        if alike:
            return wanted if wanted in alike else alike[0]
    raise SettingsError(f"{place} has the columns {names}; one of {list(PLACES)} must hold the URIs")


def read_rows(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Read a slice of URIs, and the carried columns beside them.

    Raises:
        TornError: its pages are damaged.
        OSError: the store failed.
    """
    columns = (str(piece.column), *(name for name in carry if name in piece.columns and name != piece.column))
    group = _row_group(url, piece.span[0], columns)
    yield from group.slice(piece.span[1], piece.rows[1] - piece.rows[0]).to_pylist()


def read_images(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[tuple[int, list[Any], dict[str, Any]]]:
    """Read a slice of images, a few at a time.

    Yields:
        Each row's number in the file, the values of its images, and the carried columns.

    Raises:
        TornError: its pages are damaged; the rows before them came.
        OSError: the store failed.
    """
    name, (group, skipped) = str(piece.column), piece.span
    others = [other for other in carry if other in piece.columns and other != name]
    count, at = piece.rows[1] - piece.rows[0], 0
    with parquet(url) as file:
        lists = kinds.is_list(kind := file.schema_arrow.field(name).type) or kinds.is_large_list(kind)
        facts = file.metadata.row_group(group)
        batch_rows = max(1, min(ROWS_A_BATCH, BYTES_A_BATCH * facts.num_rows // max(1, _size(facts, name))))
        for batch in file.iter_batches(batch_rows, row_groups=[group], columns=[name, *others]):
            wanted = batch.slice(max(0, skipped - at), max(0, min(batch.num_rows, skipped + count - at)))
            first, at = max(at, skipped) - skipped, at + batch.num_rows
            values, texts = wanted.column(name), wanted.select(others).to_pylist() if others else []
            for number in range(wanted.num_rows):
                value = values[number].as_py()
                yield piece.rows[0] + first + number, value or [] if lists else [value], texts[number] if texts else {}
            if at >= skipped + count:
                return


def bytes_of(url: str, piece: Slice) -> int:
    """Tell how many bytes are read for a slice of images: its row group's column up to its end."""
    with parquet(url) as file:
        facts = file.metadata.row_group(piece.span[0])
        size = sum(_column_sizes(facts, str(piece.column), compressed=True))
        return int(size * (piece.span[1] + piece.rows[1] - piece.rows[0]) // max(1, facts.num_rows))


@lru_cache(maxsize=2)
def _row_group(url: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Read a row group once for the slices in it that follow each other."""
    with parquet(url) as file:
        return file.read_row_group(group, columns=list(columns))


def _pictures(file: pq.ParquetFile) -> list[Pictures]:
    """Find the columns of images: structs with bytes, those that Hugging Face's note names, and bytes of images."""
    schema = file.schema_arrow
    noted = _noted(schema)
    found = []
    for field in schema:
        lists = kinds.is_list(field.type) or kinds.is_large_list(field.type)
        kind = field.type.value_type if lists else field.type
        told = _is_struct(kind) or (_is_bytes(kind) and field.name in noted)
        if told or (_is_bytes(kind) and field.name.lower() not in PLACES and _begins(file, field.name)):
            found.append(Pictures(field.name, lists))
    return found


def _noted(schema: pa.Schema) -> set[str]:
    """Read which columns Hugging Face's note calls images."""
    try:
        features = json.loads((schema.metadata or {}).get(FEATURES, b"{}"))["info"]["features"]
        return {
            name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == "Image"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _is_struct(kind: pa.DataType) -> bool:
    return kinds.is_struct(kind) and any(field.name == "bytes" and _is_bytes(field.type) for field in kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind))


def _begins(file: pq.ParquetFile, name: str) -> bool:
    """Tell whether the first bytes in a column are those of an image."""
    for group in range(file.num_row_groups):
        try:
            batch = next(file.iter_batches(TRIED, row_groups=[group], columns=[name]), None)
        except (pa.ArrowException, OSError):
            continue  # damaged here; who reads it says so
        if batch is not None:
            values = batch.column(0) if _is_bytes(batch.column(0).type) else batch.column(0).flatten()
            if len(values := values.drop_null()):
                return any(begins_as_image(value.as_py()) for value in values[:TRIED])
    return False


def _image_slices(file: pq.ParquetFile, pictures: Pictures) -> Iterator[Slice]:
    first = 0
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        parts = max(1, min(SLICES_A_GROUP, _size(facts, pictures.name) // BYTES_A_SLICE, facts.num_rows))
        bounds = [facts.num_rows * part // parts for part in range(parts + 1)]
        for start, end in pairwise(bounds):
            if end > start:
                rows = (first + start, first + end)
                size = sum(_column_sizes(facts, pictures.name, compressed=True)) * (end - start) // facts.num_rows
                yield Slice(
                    "embedded", rows, (group, start), column=pictures.name, images=not pictures.lists, size=size
                )
        first += facts.num_rows


def _size(facts: Any, name: str) -> int:
    return max(1, sum(_column_sizes(facts, name, compressed=False)))


def _column_sizes(facts: Any, name: str, *, compressed: bool) -> Iterator[int]:
    for number in range(facts.num_columns):
        column = facts.column(number)
        if column.path_in_schema == name or column.path_in_schema.startswith(f"{name}."):
            yield column.total_compressed_size if compressed else column.total_uncompressed_size


def _place_column(file: pq.ParquetFile, url: str) -> str:
    """Choose the column of URIs, and insist that it can hold them."""
    schema = file.schema_arrow
    column = column_of(schema.names, url)
    kind = schema.field(column).type
    plain = kind.value_type if kinds.is_dictionary(kind) else kind
    if not (kinds.is_string(plain) or kinds.is_large_string(plain) or kinds.is_string_view(plain) or _is_bytes(plain)):
        raise SettingsError(f"{url}: the column {column!r} is of the type {kind} and cannot hold URIs; make it text")
    return column
