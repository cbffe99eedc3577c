"""Image: one row of fetch, an image's place with its bytes, or with the reason why there are none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mole.errors import SettingsError
from pipeline.records import CARRIED, FETCHED, Status, with_carried
from pipeline.storage import storage
from pipeline.storage.access_policy import AccessPolicy, Trust, access_policy_of, trust
from pipeline.storage.fault import NO_NAME, STORE_FAULTS, fault_of
from pipeline.telemetry.redaction import redacted

SURROGATE = re.compile("[\ud800-\udfff]")
"""Surrogates: Python's escapes of bytes that are not UTF-8 (0xDC00 + byte), and those that JSON may contain."""
BLOCK_ROWS = 64
BLOCK_BYTES = 16 << 20

Row = dict[str, Any]
"""A row of `FETCHED`, with the carried columns as a dict."""


@dataclass(frozen=True)
class ReadOptions:
    """How images are read.

    Attributes:
        max_bytes: a larger image is not read.
        image_member: the only extension, or column, that holds images; None for all that do.
        carry: columns of the source that are carried into the verdict table.
        trusted: which listings may name any place; workers obey the driver's setting.
    """

    max_bytes: int
    image_member: str | None = None
    carry: tuple[str, ...] = ()
    trusted: Trust = field(default_factory=trust)

    def access_policy(self, listing: str | None) -> AccessPolicy | None:
        """Return the access policy of what a listing names; None if it may name any place."""
        return access_policy_of(listing, self.trusted)


def make_row(*, uri: str | None, key: str | None, fault: tuple[Status, str] | None = None, **more: Any) -> Row:
    """Make an image's row; columns that are not given are null."""
    status, detail = fault or (None, None)
    texts = {"uri": uri, "key": key, "detail": detail and redacted(detail)}
    row: Row = dict.fromkeys(FETCHED.names) | {name: printable(text) for name, text in texts.items()}
    carried = {name: printable(text) for name, text in more.pop(CARRIED, {}).items()}
    return row | {"status": status, CARRIED: carried} | more


def printable(text: str | None) -> str | None:
    """Escape surrogates in a text, so that it can be stored as UTF-8."""
    if text is None or text.isascii():
        return text
    return SURROGATE.sub(
        lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}" if "\udc80" <= found[0] <= "\udcff" else "\ufffd", text
    )


def too_large(size: int, options: ReadOptions) -> tuple[Status, str]:
    """Make the fault of an image that is too large."""
    return Status.TOO_LARGE, f"{size:,} bytes, over the bound of {options.max_bytes:,}"


def read_image(
    uri: str, key: str, options: ReadOptions, carried: dict[str, str | None], listing: str | None = None
) -> Row:
    """Read one file; an error of its store becomes the row's fault.

    Args:
        uri: its place.
        key: the source's name for it.
        options: the bounds.
        carried: the carried columns.
        listing: the listing that names it; None where the user does.
    """
    try:
        uri = storage.absolute(uri)
        data = storage.read(uri, max_bytes=options.max_bytes + 1, policy=options.access_policy(listing))
    except STORE_FAULTS as reason:
        return make_row(uri=uri, key=key, fault=fault_of(reason), carried=carried)
    except (SettingsError, ValueError) as reason:
        return make_row(uri=uri, key=key, fault=(Status.MISSING, f"{NO_NAME}: {reason}"), carried=carried)
    if len(data) > options.max_bytes:
        return make_row(uri=uri, key=key, fault=too_large(len(data), options), carried=carried, bytes=None)
    return make_row(uri=uri, key=key, carried=carried, bytes=len(data)) | {"data": data or None}


def embedded_row(uri: str, key: str, data: bytes, options: ReadOptions, carried: dict[str, str | None]) -> Row:
    """Make the row of an image that its listing embeds."""
    if len(data) > options.max_bytes:
        return make_row(uri=uri, key=key, fault=too_large(len(data), options), carried=carried, bytes=len(data))
    return make_row(uri=uri, key=key, carried=carried, bytes=len(data)) | {"data": data or None}


def to_tables(rows: Iterator[Row], carry: tuple[str, ...]) -> Iterator[pa.Table]:
    """Batch rows into tables of `FETCHED` and the carried columns, of bounded size."""
    schema = with_carried(FETCHED, carry)
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row["data"] or b"")
        if len(batch) >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield pa.Table.from_pylist(batch, schema)
            batch, size = [], 0
    if batch:
        yield pa.Table.from_pylist(batch, schema)
