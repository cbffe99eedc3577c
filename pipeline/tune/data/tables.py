"""Tables: labelled images listed in a CSV, Parquet or JSON Lines file with `uri` or `path`, `label` and `generator`."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pyarrow import csv, json, parquet

from mole.errors import SettingsError, StorageError
from pipeline.storage import storage
from pipeline.storage.access_policy import access_policy_of, trust
from pipeline.tune.data.label_words import Words, parse_label
from pipeline.tune.data.samples import Sample, sample_of
from pipeline.tune.data.source_options import DEFAULT_OPTIONS, SourceOptions

EXTENSIONS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
LOCATION_COLUMNS = ("uri", "path", "url")
COLUMNS = "uri (or path), label, generator; optionally group, source, kind, offset and length"


def is_table(url: str) -> bool:
    """Return whether a URL has the name of a table."""
    return url.lower().endswith(EXTENSIONS)


def open_table(url: str) -> pa.Table:
    """Read a whole table; every column of a CSV is text.

    Raises:
        StorageError: the store failed.
        SettingsError: the file is not a valid table.
    """
    fs, path = storage.filesystem(url)
    try:
        with fs.open(path, "rb") as stream:
            if url.lower().endswith(".parquet"):
                return parquet.ParquetFile(stream).read()
            if url.lower().endswith((".jsonl", ".ndjson")):
                return json.read_json(stream)
            return _read_csv(stream, "\t" if url.lower().endswith(".tsv") else ",")
    except pa.ArrowException as reason:
        raise SettingsError(f"table {url!r} cannot be read: {reason}; check or rewrite the file") from reason
    except OSError as reason:
        raise StorageError(f"table {url!r} cannot be read: {reason}") from reason


def read(url: str, known: Words, *, options: SourceOptions = DEFAULT_OPTIONS) -> tuple[str, list[Sample], Counter[str]]:
    """Read samples from the rows of a table.

    Args:
        url: the table; paths in it are relative to its folder.
        known: meaning of the values of `label`.
        options: which sources have grids or several generators, and which edges are cropped.

    Returns:
        A description of the layout, the samples, and the reasons why rows were skipped.

    Raises:
        SettingsError: a column is missing, or a label is neither real nor fake.
    """
    table = open_table(url)
    place = next((name for name in LOCATION_COLUMNS if name in table.column_names), None)
    source = next((name for name in ("source", "generator") if name in table.column_names), None)
    if place is None or source is None or "label" not in table.column_names:
        raise SettingsError(f"table {url!r} must have the columns {COLUMNS}; it has {table.column_names}")
    folder, origin = url.rpartition("/")[0], origin_of(url)
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    for number, row in enumerate(table.to_pylist()):
        if not row[place]:
            skipped[f"row without {place}"] += 1
            continue
        label = parse_label(row["label"], known)
        if label is None:
            raise SettingsError(
                f"label of {row[place]!r} in {url!r} must be one of {sorted(known)}, got {row['label']!r}; "
                "correct it or name it with --label-names"
            )
        uri = resolve(str(row[place]), folder)
        made = sample_of(row, label, uri=uri, number=number, options=options, origin=origin)
        samples.append(replace(made, offset=parse_integer(row.get("offset")), length=parse_integer(row.get("length"))))
    return f"a table of {place}, label, {source}", samples, skipped


def resolve(uri: str, folder: str) -> str:
    """Resolve a relative path against a folder; absolute paths and URLs are unchanged."""
    return uri if "://" in uri or uri.startswith("/") else storage.join(folder, uri)


def origin_of(url: str) -> str | None:
    """Return the origin of a list as in `Sample`: None where what it names may lie anywhere.

    Raises:
        SettingsError: the environment's trust in listings has another value.
    """
    policy = access_policy_of(url, trust())
    return None if policy is None else policy.origin


def parse_integer(value: object) -> int | None:
    """Parse a whole number, which is text in a CSV.

    Raises:
        SettingsError: it is not a whole number.
    """
    if value is None or value == "":
        return None
    if not str(value).isdecimal():
        raise SettingsError(f"offset and length must be whole numbers of bytes, got {value!r}")
    return int(str(value))


def _read_csv(stream: Any, delimiter: str) -> pa.Table:
    """Read a CSV with every column as text, so that a label 0 or a name 007 is not converted."""
    first = csv.open_csv(stream, parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True))
    texts = csv.ConvertOptions(column_types=dict.fromkeys(first.schema.names, pa.string()))
    stream.seek(0)
    return csv.read_csv(
        stream,
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=texts,
    )
