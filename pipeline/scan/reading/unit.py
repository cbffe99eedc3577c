"""A unit: what is planned, skipped and resumed; one shard, one file, or one slice of a listing."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from pipeline.records import Status


class Kind(StrEnum):
    """What a unit's bytes are."""

    SHARD = "shard"
    FILE = "file"
    SLICE = "slice"


@dataclass(frozen=True)
class Slice:
    """Some rows of a listing.

    Attributes:
        form: `parquet`, `csv`, `jsonl` or `txt`, or `inventory-parquet` or `inventory-csv`.
        rows: first row and the row behind the last.
        span: the bytes that hold them (first, behind the last); for Parquet the row group and the first row in it.
        columns: the names of a CSV's columns, in order.
        column: which column holds the URI; None for text.
    """

    form: str
    rows: tuple[int, int]
    span: tuple[int, int]
    columns: tuple[str, ...] = ()
    column: str | None = None


@dataclass(frozen=True)
class Unit:
    """One shard, one file, or one slice of a listing, with what identifies its bytes.

    Attributes:
        name: the URI and the identity of the bytes; a unit whose bytes changed has another name.
        uri: where the bytes are.
        kind: how they are read.
        key: what the source calls a single file; empty otherwise.
        images: how many rows it gives, None for a shard (its end tells).
        size: bytes, None where the store did not tell.
        slice: which rows, for a slice.
        fault: status and reason, where it is known before reading that nothing can be read.
        present: indices whose rows are in the table already, as ranges (first, behind the last).
    """

    name: str
    uri: str
    kind: Kind
    key: str = ""
    images: int | None = None
    size: int | None = None
    slice: Slice | None = None
    fault: tuple[Status, str] | None = None
    present: tuple[tuple[int, int], ...] = field(default=())

    def without(self, present: tuple[tuple[int, int], ...]) -> "Unit":
        """Leave out the images that have their rows."""
        return replace(self, present=present)

    def has(self, index: int) -> bool:
        """Tell whether an image's row is in the table already."""
        return any(first <= index < behind for first, behind in self.present)
