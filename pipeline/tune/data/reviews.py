"""Reviews: a scan's verdict table, joined with what reviewers said of its images."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from mole.errors import SettingsError, StorageError
from pipeline import storage
from pipeline.records import Status
from pipeline.tune.data.labels import Words, meaning
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.tables import open_table

KEYS = ("uri", "key", "content_hash")
MARKS = ("unit", "index", "uri", "offset", "length", "content_hash", "status")
"""The columns by which a verdict table is known."""


def is_verdicts(urls: list[str]) -> bool:
    """Tell whether Parquet files are parts of a verdict table."""
    return bool(urls) and set(MARKS) <= set(_open(urls[:1]).schema.names)


def read(urls: list[str], reviews: str | None, known: Words) -> tuple[str, list[Sample], Counter[str]]:
    """Make samples of the images that reviewers labelled.

    Args:
        urls: the verdict table's parts.
        reviews: a table with `label` and one of `uri`, `key`, `content_hash` (hexadecimal), `generator` beside them.
        known: what the values of `label` mean.

    Returns:
        The layout in words, the samples, and why rows were passed over.

    Raises:
        SettingsError: there are no reviews, or they are not there, lack a column or hold a label of neither class.
        StorageError: the verdict table cannot be read.
    """
    if reviews is None:
        raise SettingsError(f"{urls[0]!r} is a verdict table and says no truth; give reviewers' labels with --reviews")
    storage.demand(reviews, "--reviews")
    reviewed = open_table(reviews)
    key = next((name for name in KEYS if name in reviewed.column_names), None)
    if key is None or "label" not in reviewed.column_names:
        raise SettingsError(
            f"reviews {reviews!r} must have the columns label and one of {KEYS}, it has {reviewed.column_names}"
        )
    asked = {_name(row[key]): row for row in reviewed.to_pylist()}
    rows = _rows(urls, key, list(asked))
    skipped = Counter(f"image that was {row['status']}" for row in rows if row["status"] != Status.OK)
    sound = [row for row in rows if row["status"] == Status.OK]
    samples = [_sample(row, asked[_name(row[key])], known) for row in sound if not _packed(row)]
    skipped["image inside a compressed shard"] += sum(map(_packed, sound))
    skipped["review of an image that the table has not"] += len(asked.keys() - {_name(row[key]) for row in rows})
    return f"a verdict table with reviews by {key}", samples, +skipped


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


def _rows(urls: list[str], key: str, wanted: list[str]) -> list[dict[str, object]]:
    """Read the rows that were reviewed and no other.

    Raises:
        SettingsError: a content hash is no hexadecimal.
    """
    values = wanted
    if key == "content_hash":
        try:
            values = [bytes.fromhex(name) for name in wanted]  # type: ignore[misc]
        except ValueError as reason:
            raise SettingsError(f"a content_hash of the reviews is not hexadecimal: {reason}") from reason
    parts = _open(urls)
    chosen = pc.field(key).isin(pa.array(values, parts.schema.field(key).type))
    rows: list[dict[str, object]] = parts.to_table([*MARKS, "key"], filter=chosen).to_pylist()
    return rows


def _sample(row: dict[str, object], review: dict[str, object], known: Words) -> Sample:
    """Join a verdict with its review.

    Raises:
        SettingsError: the label is of neither class.
    """
    label = meaning(review["label"], known)
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
        offset if inside else None,  # type: ignore[arg-type]
        length if inside else None,  # type: ignore[arg-type]
    )


def _packed(row: dict[str, object]) -> bool:
    """Tell whether an image lies where no range can be read."""
    return str(row["uri"]).lower().endswith((".gz", ".tgz", ".bz2", ".xz"))


def _name(value: object) -> str:
    """Write a key as the reviews do; bytes in hexadecimal."""
    return value.hex() if isinstance(value, bytes) else str(value)
