"""A listing of URIs, or of images: how it is cut into slices, and how a slice is read again without the rest."""

import os
import posixpath
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from mole.errors import SettingsError
from pipeline.scan.reading import columnar, textual
from pipeline.scan.reading.shard import as_text, is_shard
from pipeline.scan.reading.textual import TOO_WIDE
from pipeline.scan.reading.unit import Kind, Name, Slice, Unit, part_of
from pipeline.storage import storage

FORMS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".txt": "txt",
}
PROTOCOL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/?/")
WINDOWS = re.compile(r"^[A-Za-z]:[\\/]|^\\\\")
BELOW = re.compile(r"^[^:]+:/*[^/]+/.")
"""A URL with a folder below its bucket or host."""
DATA = re.compile(r"data:([^,]{0,200}),", re.IGNORECASE)
PARTITION = re.compile(r"^([^=/]+)=([^/]*)$")
LONGEST_TEXT = 256
"""Characters of an entry that its row shows."""


@dataclass(frozen=True)
class Entry:
    """One image of a listing.

    Attributes:
        uri: where the image is; a relative path begins at the listing's folder. None where the row names none.
        text: what the listing calls it: the URI as it stands there, or the path or number beside an image.
        carried: the columns that were asked for.
        data: the image, where the listing itself holds it.
        fault: why there can be none.
    """

    uri: str | None
    text: str
    carried: dict[str, str | None]
    data: bytes | None = None
    fault: str | None = None


def form_of(url: str) -> str | None:
    """Tell a listing's form by the end of its name, None where it is no listing."""
    return FORMS.get(posixpath.splitext(storage.file_name(url).lower())[1])


def slices(url: str, image_member: str | None = None) -> Iterator[Slice]:
    """Cut a listing into slices, in one pass that keeps no row.

    Args:
        url: the listing.
        image_member: the only column of images that is wanted, where a Parquet file has several.

    Raises:
        SettingsError: the listing has no column of URIs, or its rows cannot be told apart.
        TornError: it is a damaged Parquet file.
        OSError: the store failed.
    """
    form = str(form_of(url))
    yield from columnar.slices(url, image_member) if form == "parquet" else textual.slices(url, form)


def unit(name: str, url: str, piece: Slice) -> Unit:
    """Make a slice of a listing of that name and place what is planned, skipped and resumed."""
    name = part_of(name, rows=piece.rows, member=piece.column if piece.form == "embedded" else None)
    return Unit(name, url, Kind.SLICE, images=piece.count, size=piece.size, slice=piece)


def slice_of(name: Name, url: str) -> Slice | None:
    """Find the slice that a unit's name means in a listing as it is now.

    Raises:
        SettingsError: it is no such listing any more.
        TornError: it is damaged.
        OSError: the store failed.
    """
    return _by_rows(url, name.identity).get((name.rows, name.member))


@lru_cache(maxsize=4)
def _by_rows(url: str, identity: str) -> dict[tuple[Any, str | None], Slice]:
    found = list(slices(url)) if form_of(url) is not None else []
    return {(piece.rows, piece.column if piece.form == "embedded" else None): piece for piece in found}


def bytes_of(url: str, piece: Slice) -> int:
    """Tell how many bytes are read for a slice."""
    return columnar.bytes_of(url, piece) if piece.form == "embedded" else piece.span[1] - piece.span[0]


def shards(url: str) -> list[str] | None:
    """Read a listing of shards; None where its first row names none.

    Raises:
        SettingsError: it names shards and other things.
        TornError: it is a damaged Parquet file.
        OSError: the store failed.
    """
    every = chain.from_iterable(entries(url, piece, ()) for piece in slices(url) if piece.form != "embedded")
    first = next(every, None)
    if first is None or first.uri is None or not is_shard(first.uri):
        return None
    named = []
    for number, entry in enumerate(chain([first], every)):
        if entry.uri is None or not is_shard(entry.uri):
            told = entry.text[:LONGEST_TEXT]
            raise SettingsError(
                f"{url} names shards, and in row {number:,} {told!r}; put other things into another listing"
            )
        named.append(entry.uri)
    return named


def entries(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[Entry]:
    """Read one slice.

    Args:
        url: the listing.
        piece: which of its rows.
        carry: the columns wanted beside the URI; of a partitioned folder those in the path too.

    Raises:
        TornError: its bytes are damaged; the rows before came.
        OSError: the store failed.
    """
    base = posixpath.dirname(storage.file_name(url))
    partitions = _partitions(base) if carry else {}
    if piece.form == "embedded":
        yield from _images(url, piece, carry, partitions)
        return
    for number, row in enumerate(_rows(url, piece, carry), piece.rows[0]):
        carried = {name: as_text(row[name] if name in row else partitions.get(name)) for name in carry}
        text = as_text(row.get(piece.column or textual.URI)) or ""
        if TOO_WIDE in row:
            yield Entry(None, text[:LONGEST_TEXT], carried, fault=str(row[TOO_WIDE]))
        elif found := DATA.match(text):
            yield _data(url, str(number), text, found, carried)
        else:
            yield _named(text, base, carried)


def _named(text: str, base: str, carried: dict[str, str | None]) -> Entry:
    bare, fault = text.strip(), None
    if WINDOWS.match(bare):
        fault = f"{bare[:LONGEST_TEXT]!r} is a path of Windows; name it as it is reached from here"
    elif bare.lower().startswith("data:"):
        fault = f"{bare[:LONGEST_TEXT]!r} is a data URI without a comma before its data"
    uri = None if fault else _resolve(bare, base)
    if uri is not None and bare != text and not PROTOCOL.match(bare):  # a blank may be part of a name
        literal = _resolve(text, base)
        if literal is not None and storage.is_local(literal) and os.path.lexists(storage.filesystem(literal)[1]):
            uri = literal
    return Entry(uri, text, carried, fault=fault)


def _data(url: str, key: str, text: str, found: re.Match[str], carried: dict[str, str | None]) -> Entry:
    """Take an image out of a data URI."""
    body = text[found.end() :].strip()
    try:
        plain = unquote_to_bytes(body)
        if found[1].lower().endswith(";base64"):
            plain = b"".join(plain.split())
            data = b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
        else:
            data = plain
    except ValueError as reason:
        return Entry(None, key, carried, fault=f"row {key} holds a data URI of broken base64: {reason}")
    return Entry(url, key, carried, data)


def _images(url: str, piece: Slice, carry: tuple[str, ...], partitions: dict[str, str]) -> Iterator[Entry]:
    base, empty = posixpath.dirname(url), True
    for number, values, row in columnar.read_images(url, piece, carry):
        carried = {name: as_text(row[name] if name in row else partitions.get(name)) for name in carry}
        for position, value in enumerate(values):
            empty = False
            own = f"{number}.{position}" if not piece.images else str(number)
            yield _image(url, base, f"{own}.{piece.column}" if piece.several else own, value, carried)
    if empty:
        rows = f"rows {piece.rows[0]:,} to {piece.rows[1] - 1:,}"
        yield Entry(None, str(piece.rows[0]), dict.fromkeys(carry), fault=f"{rows} of {url} hold no image")


def _image(url: str, base: str, own: str, value: Any, carried: dict[str, str | None]) -> Entry:
    """Take an image out of a cell: its bytes, or the file that is named instead."""
    path = value.get("path") if isinstance(value, dict) else None
    data = value.get("bytes") if isinstance(value, dict) else value
    key = str(path or own)
    if data is not None:
        return Entry(url, key, carried, data)
    if path:
        return _named(str(path), base, carried)
    return Entry(None, key, carried, fault=f"row {own} of {url} holds no image")


def _rows(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    return columnar.read_rows(url, piece, carry) if piece.form == "parquet" else textual.read_rows(url, piece)


def _resolve(text: str, base: str) -> str | None:
    """Find where an entry is: a URL or an absolute path as it stands, a path from the listing's folder on."""
    if not text:
        return None
    if PROTOCOL.match(text):
        return text
    if text.startswith("/") or not base:
        return _written(text)
    if not PROTOCOL.match(base):
        return _written(posixpath.normpath(storage.join(base, text)))
    while text.startswith(("./", "../")):  # a store's keys have no such steps
        step, _, text = text.partition("/")
        if step == ".." and BELOW.match(base):
            base = posixpath.dirname(base)
    return storage.join(base, text)


def _written(path: str) -> str:
    """Write a path of this machine: as a `file:` URL where its bytes are no UTF-8, which no table can hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"file://{quote(path, errors='surrogateescape')}"
    return path


def columns_of(url: str, piece: Slice) -> frozenset[str]:
    """Name the columns of a listing, as far as they show before it is read; those of its folder's path too."""
    own = (*piece.columns, *_partitions(posixpath.dirname(storage.file_name(url))))
    return frozenset(own) if piece.columns else frozenset()


def _partitions(base: str) -> dict[str, str]:
    """Read the columns that stand in a folder's path, as Hive and Spark write them: `date=2026-11-01`."""
    found = (PARTITION.match(folder) for folder in base.split("/"))
    return {unquote(match[1]): unquote(match[2]) for match in found if match}
