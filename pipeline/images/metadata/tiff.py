"""TIFF: reads fields of a TIFF structure, such as an EXIF block.

Only the requested fields are copied, as bytes: the encoding of a text is detected, since the declared type is
unreliable, and a damaged entry does not affect the others.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple

Order = Literal["little", "big"]

MAX_ENTRIES = 1_000
"""Maximum entries of a directory."""

EXIF_POINTER = 0x8769
TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
    129: 1,
}
"""Bytes per value by type; 129 is EXIF 3's UTF-8."""


class Fields(NamedTuple):
    """The fields that were found.

    Attributes:
        order: byte order.
        values: raw bytes by tag, truncated to the bound and the end of the file.
    """

    order: Order
    values: dict[int, bytes]


class _Layout(NamedTuple):
    """Sizes in TIFF or BigTIFF: of an offset, of a directory's count, of an entry."""

    order: Order
    offset: int
    head: int
    entry: int


def fields(data: bytes, wanted: Collection[int], max_bytes: int) -> Fields:
    """Read fields of the first directory and of its EXIF directory.

    Args:
        data: a TIFF structure; a damaged one gives the fields before the damage.
        wanted: tags; the first field of each counts.
        max_bytes: maximum bytes of a value.
    """
    order: Order = "big" if data[:2] == b"MM" else "little"
    big = int.from_bytes(data[2:4], order) == 43
    layout = _Layout(order, 8, 8, 20) if big else _Layout(order, 4, 2, 12)
    start = 8 if big else 4
    if data[:2] not in (b"II", b"MM"):
        return Fields(order, {})
    values = _directory(data, layout, _number(data, start, layout.offset, order), {*wanted, EXIF_POINTER}, max_bytes)
    pointer = values.pop(EXIF_POINTER, b"")
    if pointer:
        for tag, value in _directory(data, layout, int.from_bytes(pointer, order), set(wanted), max_bytes).items():
            values.setdefault(tag, value)
    return Fields(order, values)


def _number(data: bytes, at: int, size: int, order: Order) -> int:
    return int.from_bytes(data[at : at + size], order)


def _directory(data: bytes, layout: _Layout, at: int, wanted: set[int], max_bytes: int) -> dict[int, bytes]:
    order = layout.order
    first = at + layout.head
    entries = min(_number(data, at, layout.head, order), MAX_ENTRIES, max(0, len(data) - first) // layout.entry)
    found: dict[int, bytes] = {}
    for entry in range(first, first + entries * layout.entry, layout.entry):
        tag = _number(data, entry, 2, order)
        if tag not in wanted or tag in found:
            continue
        size = TYPE_BYTES.get(_number(data, entry + 2, 2, order), 0) * _number(data, entry + 4, layout.offset, order)
        place = entry + 4 + layout.offset
        if size > layout.offset:
            place = _number(data, place, layout.offset, order)
        found[tag] = data[place : place + min(size, max_bytes)]
    return found
