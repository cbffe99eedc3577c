"""Parquet listing: a file of URIs, or of embedded images as Hugging Face writes them.

Hugging Face stores an image as a struct of `bytes` and `path`, and names the image columns in the schema's metadata.
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
from pipeline.scan.reading.json_document import PLACES
from pipeline.scan.reading.member_types import has_image_signature
from pipeline.scan.reading.parquet_file import open_parquet
from pipeline.scan.reading.unit import Slice

ROWS_PER_SLICE = 256
USUAL_SLICES, MAX_ROWS_PER_SLICE = 4096, 4096
"""Above a million rows a Parquet listing has larger slices, so that a billion rows are a quarter of a million units."""
BYTES_PER_SLICE = 256 << 20
MAX_SLICES_PER_GROUP = 4
"""Maximum slices of a row group with images: a slice reads over those before it, since pages have no row index."""
BYTES_PER_BATCH, ROWS_PER_BATCH = 16 << 20, 64
TESTED_ROWS = 16
"""Rows that are checked for an image signature in a column of bytes."""
FEATURES_KEY = b"huggingface"


@dataclass(frozen=True)
class ImageColumn:
    """A column of images.

    Attributes:
        name: of the column.
        lists: whether each row is a list of images.
    """

    name: str
    lists: bool


def slices(url: str, image_member: str | None) -> Iterator[Slice]:
    """Split a Parquet file into slices of its row groups.

    Args:
        url: the file.
        image_member: the only column of images to read, where there is one of that name.

    Raises:
        SettingsError: it has neither images nor URIs.
        DamagedFileError: it is damaged, or not a Parquet file.
        OSError: the store failed.
    """
    with open_parquet(url) as file:
        names = tuple(file.schema_arrow.names)
        if found := _image_columns(file):
            for images in [one for one in found if one.name == image_member] or found:
                for piece in _image_slices(file, images):
                    yield replace(piece, columns=names, several=len(found) > 1)
            return
        column, first = _place_column(file, url), 0
        slice_rows = min(MAX_ROWS_PER_SLICE, max(ROWS_PER_SLICE, file.metadata.num_rows // USUAL_SLICES))
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            for start in range(0, rows, slice_rows):
                at, count = first + start, min(slice_rows, rows - start)
                yield Slice("parquet", (at, at + count), (group, start), names, column)
            first += rows


def column_of(names: list[str], place: str) -> str:
    """Choose the column of URIs, case-insensitively; of several spellings the one in lower case.

    Raises:
        SettingsError: there is none, or the choice is ambiguous.
    """
    for wanted in PLACES:
        alike = [name for name in names if name.lower() == wanted]
        if len(alike) > 1 and alike.count(wanted) != 1:
            raise SettingsError(f"{place} has the columns {alike}; call the one that holds the URIs {wanted!r}")
        if alike:
            return wanted if wanted in alike else alike[0]
    raise SettingsError(f"{place} has the columns {names}; one of {list(PLACES)} must hold the URIs")


def read_rows(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Read a slice of URIs, with the carried columns.

    Raises:
        DamagedFileError: its pages are damaged.
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
        DamagedFileError: its pages are damaged; the rows before them were yielded.
        OSError: the store failed.
    """
    name, (group, skipped) = str(piece.column), piece.span
    others = [other for other in carry if other in piece.columns and other != name]
    count, at = piece.rows[1] - piece.rows[0], 0
    with open_parquet(url) as file:
        lists = kinds.is_list(kind := file.schema_arrow.field(name).type) or kinds.is_large_list(kind)
        facts = file.metadata.row_group(group)
        batch_rows = max(1, min(ROWS_PER_BATCH, BYTES_PER_BATCH * facts.num_rows // max(1, _size(facts, name))))
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
    """Return how many bytes are read for a slice of images: its row group's column up to the slice's end."""
    with open_parquet(url) as file:
        facts = file.metadata.row_group(piece.span[0])
        size = sum(_column_sizes(facts, str(piece.column), compressed=True))
        return int(size * (piece.span[1] + piece.rows[1] - piece.rows[0]) // max(1, facts.num_rows))


@lru_cache(maxsize=2)
def _row_group(url: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Read a row group once for its consecutive slices."""
    with open_parquet(url) as file:
        return file.read_row_group(group, columns=list(columns))


def _image_columns(file: pq.ParquetFile) -> list[ImageColumn]:
    """Find the columns of images: structs with bytes, those of Hugging Face's metadata, and bytes of images."""
    schema = file.schema_arrow
    annotated = _annotated(schema)
    found = []
    for field in schema:
        lists = kinds.is_list(field.type) or kinds.is_large_list(field.type)
        kind = field.type.value_type if lists else field.type
        is_image = _is_struct(kind) or (_is_bytes(kind) and field.name in annotated)
        if is_image or (_is_bytes(kind) and field.name.lower() not in PLACES and _begins(file, field.name)):
            found.append(ImageColumn(field.name, lists))
    return found


def _annotated(schema: pa.Schema) -> set[str]:
    """Read the image columns of Hugging Face's metadata."""
    try:
        features = json.loads((schema.metadata or {}).get(FEATURES_KEY, b"{}"))["info"]["features"]
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
            batch = next(file.iter_batches(TESTED_ROWS, row_groups=[group], columns=[name]), None)
        except (pa.ArrowException, OSError):
            continue  # damaged; reading it reports that
        if batch is not None:
            values = batch.column(0) if _is_bytes(batch.column(0).type) else batch.column(0).flatten()
            if len(values := values.drop_null()):
                return any(has_image_signature(value.as_py()) for value in values[:TESTED_ROWS])
    return False


def _image_slices(file: pq.ParquetFile, column: ImageColumn) -> Iterator[Slice]:
    first = 0
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        parts = max(1, min(MAX_SLICES_PER_GROUP, _size(facts, column.name) // BYTES_PER_SLICE, facts.num_rows))
        bounds = [facts.num_rows * part // parts for part in range(parts + 1)]
        for start, end in pairwise(bounds):
            if end > start:
                rows = (first + start, first + end)
                size = sum(_column_sizes(facts, column.name, compressed=True)) * (end - start) // facts.num_rows
                yield Slice("embedded", rows, (group, start), column=column.name, images=not column.lists, size=size)
        first += facts.num_rows


def _size(facts: Any, name: str) -> int:
    return max(1, sum(_column_sizes(facts, name, compressed=False)))


def _column_sizes(facts: Any, name: str, *, compressed: bool) -> Iterator[int]:
    for number in range(facts.num_columns):
        column = facts.column(number)
        if column.path_in_schema == name or column.path_in_schema.startswith(f"{name}."):
            yield column.total_compressed_size if compressed else column.total_uncompressed_size


def _place_column(file: pq.ParquetFile, url: str) -> str:
    """Choose the column of URIs, and check its type."""
    schema = file.schema_arrow
    column = column_of(schema.names, url)
    kind = schema.field(column).type
    plain = kind.value_type if kinds.is_dictionary(kind) else kind
    if not (kinds.is_string(plain) or kinds.is_large_string(plain) or kinds.is_string_view(plain) or _is_bytes(plain)):
        raise SettingsError(f"{url}: the column {column!r} is of the type {kind} and cannot hold URIs; make it text")
    return column
