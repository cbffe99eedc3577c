"""Records: the schema of the verdict table and of the pipeline's stages, its version, and the values of `status`."""

from enum import StrEnum

import pyarrow as pa

from mole.errors import StorageError

SCHEMA_VERSION = "1"
VERSION_KEY = b"mole_scan_schema"
PREVALENCE_KEY = b"mole_scan_prevalence"
"""In a file's metadata: the prevalence that its probabilities assume; 0.5 if absent."""


class Status(StrEnum):
    """The outcome for an image; everything but `ok` is a fault, with its reason in `detail`."""

    OK = "ok"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    MISSING = "missing"
    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"
    TORN_ARCHIVE = "torn_archive"
    CRASHED = "crashed"


TRANSIENT = (Status.MISSING, Status.FORBIDDEN, Status.UNREACHABLE, Status.CRASHED)
"""Faults of the store or of this machine, not of the bytes: another read may succeed."""


TIME = pa.timestamp("us", tz="UTC")
GATES = pa.list_(pa.field("element", pa.float32()))
PROVENANCE = pa.struct([(name, pa.string()) for name in ("software", "camera", "generator", "source_type", "c2pa")])

PLACE = (
    ("unit", pa.string()),
    ("index", pa.int32()),
    ("last", pa.bool_()),
    ("uri", pa.string()),
    ("key", pa.string()),
    ("offset", pa.int64()),
    ("length", pa.int64()),
)
CONTENT = (
    ("content_hash", pa.binary(16)),
    ("bytes", pa.int64()),
    ("format", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
)
FAULT = (("status", pa.string()), ("detail", pa.string()))
SCORE = (("logit", pa.float32()), ("gates", GATES))
DECLARED = (("provenance", PROVENANCE),)

FETCHED = pa.schema([*PLACE, ("bytes", pa.int64()), ("data", pa.large_binary()), *FAULT])
"""After fetch: an image's location and its bytes (`data`, null if it could not be read)."""

PREPARED = pa.schema([*PLACE, *CONTENT, *FAULT, *DECLARED, ("pixels", pa.large_binary())])
"""After prepare: facts about the bytes, and the views as `uint8 (C, 3, S, S)` in C order (`pixels`, null for a
fault)."""

MODEL = "model"
SCORED = pa.schema([(MODEL, pa.string()), *PLACE, *CONTENT, *FAULT, *DECLARED, *SCORE])
"""After score: a row per image and model; logit and gates, null if there were no pixels."""

VERDICT = pa.schema(
    [
        ("unit", pa.dictionary(pa.int32(), pa.string())),
        *PLACE[1:],
        *CONTENT,
        *FAULT,
        ("logit", pa.float32()),
        ("probability", pa.float32()),
        ("verdict", pa.string()),
        ("gates", GATES),
        *DECLARED,
        ("preprocess", pa.string()),
        ("scanned_at", TIME),
    ],
    metadata={VERSION_KEY: SCHEMA_VERSION.encode()},
)
"""The verdict table; `model` is the partition of a file."""

CARRIED = "carried"
"""The column after the fixed ones: a struct of the source's own columns, present only if requested."""

SAME_AS = pa.field("same_as", pa.struct([("unit", pa.string()), ("index", pa.int32())]))
"""Present only in files of a run with `--dedupe`: the image with the same bytes whose verdict this row repeats."""
UNRESOLVED_DUPLICATE = {"unit": None, "index": None}
"""`same_as` of a row that is not written yet: another image of the same wave with these bytes is being scored."""

OUTCOMES = pa.list_(pa.struct([("status", pa.string()), ("verdict", pa.string()), ("images", pa.int64())]))
"""Images by status and verdict."""

WRITTEN_FILES = pa.schema(
    [
        (MODEL, pa.string()),
        ("rows", pa.int64()),
        ("faults", pa.int64()),
        ("units", pa.int64()),
        ("outcomes", OUTCOMES),
        ("file", pa.string()),
        ("content", pa.large_binary()),
    ]
)
"""After sink: one row per written file; `units` counts those whose last row is in it, `content` is set only if the
driver must write the file itself."""


def with_optional_columns(schema: pa.Schema, table: pa.Table) -> pa.Schema:
    """Add a table's optional columns to a schema."""
    for name in (SAME_AS.name, CARRIED):
        if name in table.column_names:
            schema = schema.append(table.schema.field(name))
    return schema


def with_carried(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    """Add the struct of carried columns to a schema; no-op without names."""
    if not names:
        return schema
    return schema.append(pa.field(CARRIED, pa.struct([(name, pa.string()) for name in names])))


def check_version(metadata: dict[bytes, bytes] | None, file: str) -> None:
    """Check the schema version of a file.

    Raises:
        StorageError: the file was written by another version, or not by this product.
    """
    version = (metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"{file} has verdict schema {version!r}, this version reads {SCHEMA_VERSION!r}; choose another --output"
        )
