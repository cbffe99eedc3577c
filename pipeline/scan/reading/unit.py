"""Unit: what a scan plans, skips and resumes, one shard, one file, or one slice of a listing."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote, unquote

from pipeline.records import Status

NAME = re.compile(r"(.*)#([^#]*?)(?::(\d+)-(\d+))?(?::member=([^#]*))?", re.DOTALL)


class Kind(StrEnum):
    """The kind of a unit."""

    SHARD = "shard"
    FILE = "file"
    SLICE = "slice"


@dataclass(frozen=True)
class Slice:
    """A range of rows of a listing.

    Attributes:
        form: `parquet`, `csv`, `tsv`, `jsonl`, `txt`, `array` (of JSON) or `document` (JSON of another form);
            `embedded` where a Parquet file holds the images themselves; or `inventory-parquet` or `inventory-csv`.
        rows: the rows (start, stop).
        span: their bytes (start, stop); for Parquet the row group and the first row in it.
        columns: the names of a table's columns, in order.
        column: the column of the URI, or of the image; None for text.
        encoding: of text.
        newline: the line ending of text.
        images: whether each row has one image; a list may have any number.
        several: whether other slices have other images of the same rows.
        size: bytes of the images, None where it is unknown before reading.
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
        """Number of images, None where it is unknown before reading."""
        return self.rows[1] - self.rows[0] if self.images else None


def part_of(name: str, *, rows: tuple[int, int] | None = None, member: str | None = None) -> str:
    """Name a part of a named file.

    Args:
        name: the URL and the identity of the bytes.
        rows: (start, stop) of a slice.
        member: the only member or column that is an image, where one was named.
    """
    name = name if rows is None else f"{name}:{rows[0]}-{rows[1]}"
    return name if member is None else f"{name}:member={quote(member)}"


@dataclass(frozen=True)
class Name:
    """A parsed unit name.

    Attributes:
        url: of the bytes.
        identity: of the bytes: an ETag, or size and modification time.
        rows: (start, stop) of a slice.
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
        """Parse a unit's name; any other text is a URL without an identity."""
        found = NAME.fullmatch(name)
        if found is None:
            return Name(name, "")
        url, identity, first, behind, member = found.groups()
        rows = None if first is None else (int(first), int(behind))
        return Name(url, identity, rows, None if member is None else unquote(member))


@dataclass(frozen=True)
class Unit:
    """One shard, one file, or one slice of a listing, with the identity of its bytes.

    Attributes:
        name: the URI and the identity of the bytes; a unit whose bytes changed has another name.
        uri: of the bytes.
        kind: how they are read.
        key: the source's name for a single file; empty otherwise.
        images: number of images, None where it is unknown before reading (a shard).
        size: bytes, None where the store did not report it.
        slice: the rows of a slice.
        fault: status and reason, where it is known before reading that nothing can be read.
        listing: the listing that names a shard; None where the user does.
        present: indices that have a row in the table already, as ranges (start, stop).
    """

    name: str
    uri: str
    kind: Kind
    key: str = ""
    images: int | None = None
    size: int | None = None
    slice: Slice | None = None
    fault: tuple[Status, str] | None = None
    listing: str | None = None
    present: tuple[tuple[int, int], ...] = field(default=())

    def without(self, present: tuple[tuple[int, int], ...]) -> "Unit":
        """Exclude the images that have a row already."""
        return replace(self, present=present)

    def has(self, index: int) -> bool:
        """Tell whether an image has a row in the table already."""
        return any(first <= index < behind for first, behind in self.present)
