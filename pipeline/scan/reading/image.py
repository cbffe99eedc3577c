"""One image as fetch hands it on: its place and its bytes, or the reason why there are none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mole.errors import SettingsError
from pipeline.records import CARRIED, FETCHED, Status, with_carried
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of

HALF = re.compile("[\ud800-\udfff]")
"""What Python puts for a byte that is no UTF-8 (0xDC00 and the byte), and what JSON may say that is no character."""
BLOCK_ROWS = 64
BLOCK_BYTES = 16 << 20

Row = dict[str, Any]
"""A row of `FETCHED`, with the carried columns as a dict."""


@dataclass(frozen=True)
class Wanted:
    """What a scan wants of each unit.

    Attributes:
        max_bytes: an image above this is not read.
        image_member: the only extension, or column, that holds images; None for all that do.
        carry: the source's own columns that come along.
    """

    max_bytes: int
    image_member: str | None = None
    carry: tuple[str, ...] = ()


def row_of(*, uri: str | None, key: str | None, fault: tuple[Status, str] | None = None, **more: Any) -> Row:
    """Write an image's row; what is not given is null."""
    status, detail = fault or (None, None)
    told = {"uri": uri, "key": key, "detail": detail}
    row: Row = dict.fromkeys(FETCHED.names) | {name: printable(text) for name, text in told.items()}
    carried = {name: printable(text) for name, text in more.pop(CARRIED, {}).items()}
    return row | {"status": status, CARRIED: carried} | more


def printable(text: str | None) -> str | None:
    """Write text that holds bytes of another coding, or halves of characters, so that a table can hold it."""
    if text is None or text.isascii():
        return text
    return HALF.sub(
        lambda half: f"\\x{ord(half[0]) - 0xDC00:02x}" if "\udc80" <= half[0] <= "\udcff" else "\ufffd", text
    )


def too_large(size: int, wanted: Wanted) -> tuple[Status, str]:
    """Name the fault of an image above the bound."""
    return Status.TOO_LARGE, f"{size:,} bytes, over the bound of {wanted.max_bytes:,}"


def read_image(uri: str, key: str, wanted: Wanted, carried: dict[str, str | None]) -> Row:
    """Read one file; what its store says against it becomes the row's fault."""
    try:
        uri = storage.absolute(uri)
        data = storage.read(uri, most=wanted.max_bytes + 1)
    except STORE_FAULTS as reason:
        return row_of(uri=uri, key=key, fault=fault_of(reason), carried=carried)
    except (SettingsError, ValueError) as reason:
        return row_of(uri=uri, key=key, fault=(Status.MISSING, f"not a place to read from: {reason}"), carried=carried)
    if len(data) > wanted.max_bytes:
        return row_of(uri=uri, key=key, fault=too_large(len(data), wanted), carried=carried, bytes=None)
    return row_of(uri=uri, key=key, carried=carried, bytes=len(data)) | {"data": data or None}


def held(uri: str, key: str, data: bytes, wanted: Wanted, carried: dict[str, str | None]) -> Row:
    """Hand on an image whose bytes stand in the listing itself."""
    if len(data) > wanted.max_bytes:
        return row_of(uri=uri, key=key, fault=too_large(len(data), wanted), carried=carried, bytes=len(data))
    return row_of(uri=uri, key=key, carried=carried, bytes=len(data)) | {"data": data or None}


def tables(rows: Iterator[Row], carry: tuple[str, ...]) -> Iterator[pa.Table]:
    """Put rows into tables of `FETCHED` (and the carried columns), small enough to lie in memory."""
    schema = with_carried(FETCHED, carry)
    held: list[Row] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row["data"] or b"")
        if len(held) >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield pa.Table.from_pylist(held, schema)
            held, size = [], 0
    if held:
        yield pa.Table.from_pylist(held, schema)
