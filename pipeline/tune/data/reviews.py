"""Reviews: samples from a scan's verdict table, joined with the labels of reviewers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from mole.errors import SettingsError, StorageError
from pipeline import labels
from pipeline.labels import Label
from pipeline.records import Status
from pipeline.storage import storage
from pipeline.tune.data.label_words import Words, parse_label
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.tables import EXTENSIONS, is_table, open_table, parse_integer

PLACE_COLUMNS = ("unit", "index")
"""Columns that identify an image of a verdict table."""
KEY_COLUMNS = ("uri", "key", "content_hash")
VERDICT_COLUMNS = ("unit", "index", "uri", "offset", "length", "content_hash", "status")
"""Columns by which a verdict table is recognised."""
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".tzst")

Row = Mapping[str, Any]
Key = tuple[str, ...]
"""The columns by which reviews identify images."""
Name = tuple[Any, ...]
"""The values of those columns for an image."""


def is_verdicts(urls: list[str]) -> bool:
    """Return whether Parquet files are parts of a verdict table."""
    return bool(urls) and set(VERDICT_COLUMNS) <= set(_open(urls[:1]).schema.names)


def read(urls: list[str], reviews: str | None, known: Words) -> tuple[str, list[Sample], Counter[str]]:
    """Read samples from the images that reviewers labelled.

    Args:
        urls: the verdict table's parts.
        reviews: a folder of labels, as `browse` writes them; or a table with `label`, and `unit` and `index`, or one of
            `uri`, `key`, `content_hash` (hexadecimal) instead, and optionally `generator`.
        known: meaning of the values of `label`.

    Returns:
        A description of the layout, the samples, and the reasons why rows were skipped.

    Raises:
        SettingsError: there are no reviews, or they do not exist, lack a column, have an unknown label, or identify
            several images by one name.
        StorageError: the verdict table or the labels cannot be read.
    """
    if reviews is None:
        raise SettingsError(f"{urls[0]!r} is a verdict table without labels; provide reviewers' labels with --reviews")
    storage.require_exists(reviews, "--reviews")
    if is_table(reviews):
        key, given = _tabled(reviews)
        description, passed = f"reviews by {' and '.join(key)}", Counter[str]()
    else:
        key, description = PLACE_COLUMNS, "labels"
        given, passed = _labelled(reviews)
    asked = {_named(row, key): row for row in given}
    rows = _newest(_rows(urls, key, list(asked)), key, asked)
    _require_one_each(rows, key, reviews)
    outdated = _outdated(urls, rows)
    samples = []
    for number, row in enumerate(rows):
        review = asked[_named(row, key)]
        reason = _unfit(row, review) or (
            "image whose bytes changed since it was labelled" if number in outdated else ""
        )
        if reason:
            passed[reason] += 1
        else:
            samples.append(_sample(row, review, known))
    passed["review of an image that the table has not"] += len(asked.keys() - {_named(row, key) for row in rows})
    return f"a verdict table with {description}", samples, +passed


def _tabled(reviews: str) -> tuple[Key, list[dict[str, Any]]]:
    """Read a table of reviews, and the columns by which it identifies images.

    Raises:
        SettingsError: it has no such columns, or no labels.
        StorageError: it cannot be read.
    """
    table = open_table(reviews)
    columns = table.column_names
    single = next((name for name in KEY_COLUMNS if name in columns), None)
    key = PLACE_COLUMNS if set(PLACE_COLUMNS) <= set(columns) else (single,) if single else ()
    if not key or "label" not in columns:
        raise SettingsError(
            f"reviews {reviews!r} must have the columns label and unit and index, or one of {KEY_COLUMNS}, it has "
            f"{columns}"
        )
    rows = table.to_pylist()
    if key == PLACE_COLUMNS:
        rows = [row | {"index": parse_integer(row["index"])} for row in rows]
    return key, rows


def _labelled(folder: str) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Read a folder of labels: those that are generated or real, and the counts of all others.

    Raises:
        SettingsError: it contains no labels.
        StorageError: it cannot be read.
    """
    if not labels.is_labels(folder):
        endings = ", ".join(EXTENSIONS)
        raise SettingsError(
            f"--reviews {folder!r} is neither a table ({endings}) nor a folder of labels, as `mole-scan browse` "
            "writes them"
        )
    rows = labels.newest_rows(folder).to_pylist()
    passed = Counter(f"image labelled {row['label']}" for row in rows if row["label"] == Label.UNSURE)
    passed += Counter("label that was withdrawn" for row in rows if row["label"] == Label.WITHDRAWN)
    passed += Counter("note without a label" for row in rows if row["label"] == Label.NOTE)
    return [row for row in rows if row["label"] in (Label.GENERATED, Label.REAL)], passed


def _open(urls: list[str]) -> dataset.Dataset:
    """Open the parts.

    Raises:
        StorageError: one cannot be read.
    """
    fs = storage.filesystem(urls[0])[0]
    try:
        return dataset.dataset([storage.filesystem(url)[1] for url in urls], format="parquet", filesystem=fs)
    except (OSError, pa.ArrowException) as reason:
        raise StorageError(f"cannot read the Parquet files beside {urls[0]!r}: {reason}") from reason


def _rows(urls: list[str], key: Key, wanted: Sequence[Name]) -> list[dict[str, Any]]:
    """Read the rows of the reviewed images, of every model.

    Raises:
        SettingsError: a content hash is not hexadecimal.
    """
    parts = _open(urls)
    chosen = pc.scalar(True)
    for place, name in enumerate(key):
        values = {each[place] for each in wanted} - {None}
        if name == "content_hash":
            try:
                values = {bytes.fromhex(str(value)) for value in values}
            except ValueError as reason:
                raise SettingsError(f"a content_hash of the reviews is not hexadecimal: {reason}") from reason
        kind = parts.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        chosen &= pc.field(name).cast(kind).isin(pa.array(sorted(values), kind))
    rows: list[dict[str, Any]] = parts.to_table([*VERDICT_COLUMNS, "key", "scanned_at"], filter=chosen).to_pylist()
    return rows


def _newest(rows: list[dict[str, Any]], key: Key, asked: Mapping[Name, object]) -> list[Row]:
    """Keep the newest row of each reviewed image; every model has one, and joined files repeat some."""
    kept: dict[Name, Row] = {}
    for row in rows:
        place = _named(row, PLACE_COLUMNS)
        if _named(row, key) in asked and (place not in kept or kept[place]["scanned_at"] < row["scanned_at"]):
            kept[place] = row
    return list(kept.values())


def _require_one_each(rows: Sequence[Row], key: Key, reviews: str) -> None:
    """Check that no name identifies several images: all images of a shard share its URI, and keys repeat across shards.

    Raises:
        SettingsError: one does.
    """
    if key not in (("uri",), ("key",)):
        return
    seen: dict[Name, Row] = {}
    for row in rows:
        other = seen.setdefault(_named(row, key), row)
        if (other["uri"], other["offset"], other["key"]) != (row["uri"], row["offset"], row["key"]):
            raise SettingsError(
                f"reviews {reviews!r}: the {key[0]} {row[key[0]]!r} identifies several images of the table; "
                "use the columns unit and index, or content_hash"
            )


def _outdated(urls: list[str], rows: Sequence[Row]) -> set[int]:
    """Return the indices of rows whose image had other bytes in the newest scan."""
    here = pc.field("uri").isin(pa.array({row["uri"] for row in rows}, pa.string()))
    columns = {name: pc.field(name) for name in ("uri", "offset", "content_hash", "scanned_at")}
    found = _open(urls).to_table(columns | {"unit": pc.field("unit").cast(pa.string())}, filter=here)
    scans = found.group_by(["uri", "unit"]).aggregate([("scanned_at", "max")]).sort_by("scanned_at_max").to_pylist()
    newest = {scan["uri"]: scan["unit"] for scan in scans}
    last = found.filter(pc.is_in(found["unit"], pa.array(set(newest.values()), pa.string())))
    held = last.filter(pc.is_in(last["content_hash"], pa.array({row["content_hash"] for row in rows}, pa.binary(16))))
    there = {(each["uri"], each["offset"], each["content_hash"]) for each in held.to_pylist()}
    return {
        number
        for number, row in enumerate(rows)
        if newest.get(row["uri"]) != row["unit"] and (row["uri"], row["offset"], row["content_hash"]) not in there
    }


def _unfit(row: Row, review: Row) -> str:
    """Return why an image cannot be used, empty if it can."""
    if row["status"] != Status.OK:
        return f"image that was {row['status']}"
    if str(row["uri"]).lower().endswith(COMPRESSED):
        return "image inside a compressed shard"
    if row["length"] is None and str(row["uri"]).lower().endswith(".parquet"):
        return "image inside a Parquet file"
    labelled = review.get("content_hash")
    if isinstance(labelled, bytes) and row["content_hash"] not in (labelled, None):
        return "label of other bytes than the table has"
    return ""


def _sample(row: Row, review: Row, known: Words) -> Sample:
    """Join a verdict with its review.

    Raises:
        SettingsError: the label is unknown.
    """
    label = parse_label(review["label"], known)
    if label is None:
        raise SettingsError(f"review of {row['uri']!r} must be one of {sorted(known)}, got {review['label']!r}")
    source = str(review.get("source") or review.get("generator") or "reviewed")
    offset, length = row["offset"], row["length"]
    inside = isinstance(offset, int) and isinstance(length, int)
    return Sample(
        str(row["uri"]),
        label,
        source,
        str(review.get("group") or ""),
        offset if inside else None,
        length if inside else None,
    )


def _named(row: Row, key: Key) -> Name:
    """Return the values that identify an image, with hashes in hexadecimal."""
    values = (row[name] for name in key)
    return tuple(value.hex() if isinstance(value, bytes) else value for value in values)
