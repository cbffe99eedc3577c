"""Part: name and encoding of a Parquet file of verdicts: zstd, with dictionaries and differences of integers."""

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 1 << 17
"""Rows of a row group: a reader that wants some units of a large file skips the other groups."""
DISTINCT = ("key", "uri", "content_hash", "bytes", "logit", "probability", "gates")
"""Columns whose values seldom repeat: no dictionary, which would hold each value once and number it besides."""
COUNTED = ("index", "offset", "length", "scanned_at")
"""Whole numbers near those of the rows before: differences, packed into as few bits as each block of rows needs."""


def part_name(verdicts: pa.Table) -> str:
    """Name a part by its units and indices, so that a retried write replaces its own file."""
    content = hashlib.blake2b(digest_size=12)
    for unit, index in sorted(zip(verdicts["unit"].to_pylist(), verdicts["index"].to_pylist(), strict=True)):
        content.update(f"{unit}\0{index}\n".encode())
    return f"part-{content.hexdigest()}.parquet"


def encode(verdicts: pa.Table) -> bytes:
    """Encode a table of verdicts as the bytes of a Parquet file, zstd.

    Args:
        verdicts: rows with any of the columns of a verdict table.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(verdicts, sink, **encoding(verdicts.schema))
    return bytes(sink.getvalue().to_pybytes())


def encoding(schema: pa.Schema) -> dict[str, Any]:
    """Return the options by which pyarrow writes columns of a verdict table."""
    counted = [name for name in COUNTED if name in schema.names]
    return {
        "compression": "zstd",
        "row_group_size": ROWS_PER_GROUP,
        "use_dictionary": [path for field in schema if field.name not in DISTINCT + COUNTED for path in leaves(field)],
        "column_encoding": dict.fromkeys(counted, "DELTA_BINARY_PACKED"),
    }


def leaves(field: pa.Field) -> list[str]:
    """Name the leaf columns that Parquet makes of a field, a struct's by their path."""
    if pa.types.is_struct(field.type):
        return [f"{field.name}.{path}" for child in field.type for path in leaves(child)]
    return [field.name]
