"""A unit: what is planned, skipped and resumed; one shard, one file, or one slice of a listing."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote, unquote

from pipeline.records import Status

NAME = re.compile(r"(.*)#([^#]*?)(?::(\d+)-(\d+))?(?::member=([^#]*))?", re.DOTALL)


class Kind(StrEnum):
    """What a unit's bytes are."""

    SHARD = "shard"
    FILE = "file"
    SLICE = "slice"


@dataclass(frozen=True)
class Slice:
    """Some rows of a listing.

    Attributes:
        form: `parquet`, `csv`, `tsv`, `jsonl`, `txt`, `array` (of JSON) or `document` (JSON of another form);
            `embedded` where a Parquet file holds the images themselves; or `inventory-parquet` or `inventory-csv`.
        rows: first row and the row behind the last.
        span: the bytes that hold them (first, behind the last); for Parquet the row group and the first row in it.
        columns: the names of a table's columns, in order.
        column: which column holds the URI, or the image; None for text.
        encoding: of text.
        newline: what ends its lines.
        images: whether each row holds one image; a column of lists may hold any number.
        several: whether other slices hold other images of the same rows.
        size: bytes of the images, None where that shows when they are read.
    """

    form: str
    rows: tuple[int, int]
    span: tuple[int, int]
    columns: tuple[str, ...] = ()
    column: str | None = None
    encoding: str = "utf-8"
    newline: str = "\n"
    images: bool = True
    several: bool = False
    size: int | None = None

    @property
    def count(self) -> int | None:
        """How many images it holds, None where that shows when they are read."""
        return self.rows[1] - self.rows[0] if self.images else None


def part_of(name: str, *, rows: tuple[int, int] | None = None, member: str | None = None) -> str:
    """Name a part of what a name means.

    Args:
        name: the place and the identity of the bytes.
        rows: first row and the row behind the last, for a slice.
        member: the only member or column that is an image, where one was named.
    """
    name = name if rows is None else f"{name}:{rows[0]}-{rows[1]}"
    return name if member is None else f"{name}:member={quote(member)}"


@dataclass(frozen=True)
class Name:
    """What a unit's name says.

    Attributes:
        url: where the bytes are.
        identity: of the bytes.
        rows: first row and the row behind the last, for a slice.
        member: the only member or column that is an image, where one was named.
    """

    url: str
    identity: str
    rows: tuple[int, int] | None = None
    member: str | None = None

    def __str__(self) -> str:
        return part_of(f"{self.url}#{self.identity}", rows=self.rows, member=self.member)

    @staticmethod
    def parse(name: str) -> "Name":
        """Read a unit's name; one that is none names no bytes."""
        found = NAME.fullmatch(name)
        if found is None:
            return Name(name, "")
        url, identity, first, behind, member = found.groups()
        rows = None if first is None else (int(first), int(behind))
        return Name(url, identity, rows, None if member is None else unquote(member))


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
