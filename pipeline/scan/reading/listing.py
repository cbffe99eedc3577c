"""Listing of URIs or of embedded images: splits it into slices, and reads a slice without the rest."""

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
from pipeline.scan.reading import parquet_listing, text_listing
from pipeline.scan.reading.shard import as_text, is_shard
from pipeline.scan.reading.text_listing import TOO_WIDE
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
LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What JSON can name and UTF-8 cannot; \\udc80 to \\udcff are bytes that are not UTF-8, which a name may have."""
HAS_FOLDER = re.compile(r"^[^:]+:/*[^/]+/.")
"""A URL with a folder below its bucket or host."""
DATA = re.compile(r"data:([^,]{0,200}),", re.IGNORECASE)
PARTITION = re.compile(r"^([^=/]+)=([^/]*)$")
MAX_TEXT_CHARACTERS = 256
"""Maximum characters of an entry in a row or a message."""


@dataclass(frozen=True)
class Entry:
    """One image of a listing.

    Attributes:
        uri: where the image is, relative paths resolved against the listing's folder. None where the row has none.
        text: the listing's own name for it: the URI as written, or the path or number of an embedded image.
        carried: the requested columns.
        data: the image, where the listing embeds it.
        fault: why there is no image.
    """

    uri: str | None
    text: str
    carried: dict[str, str | None]
    data: bytes | None = None
    fault: str | None = None


def form_of(url: str) -> str | None:
    """Return a listing's form by its file extension, None where it is not a listing."""
    return FORMS.get(posixpath.splitext(storage.without_query(url).lower())[1])


def slices(url: str, image_member: str | None = None) -> Iterator[Slice]:
    """Split a listing into slices, in one pass that keeps no row.

    Args:
        url: the listing.
        image_member: the only column of images to read, where a Parquet file has several.

    Raises:
        SettingsError: the listing has no column of URIs, or its rows cannot be separated.
        DamagedFileError: it is a damaged Parquet file.
        OSError: the store failed.
    """
    form = str(form_of(url))
    yield from parquet_listing.slices(url, image_member) if form == "parquet" else text_listing.slices(url, form)


def unit(name: str, url: str, piece: Slice) -> Unit:
    """Make a unit of a slice.

    Args:
        name: of the listing, with the identity of its bytes.
        url: of the listing.
        piece: the slice.
    """
    name = part_of(name, rows=piece.rows, member=piece.column if piece.form == "embedded" else None)
    return Unit(name, url, Kind.SLICE, images=piece.count, size=piece.size, slice=piece)


def slice_of(name: Name, url: str) -> Slice | None:
    """Find the slice of a unit's name in a listing as it is now.

    Raises:
        SettingsError: the file is not such a listing any more.
        DamagedFileError: it is damaged.
        OSError: the store failed.
    """
    return _by_rows(url, name.identity).get((name.rows, name.member))


@lru_cache(maxsize=4)
def _by_rows(url: str, identity: str) -> dict[tuple[Any, str | None], Slice]:
    found = list(slices(url)) if form_of(url) is not None else []
    return {(piece.rows, piece.column if piece.form == "embedded" else None): piece for piece in found}


def bytes_of(url: str, piece: Slice) -> int:
    """Return how many bytes are read for a slice."""
    return parquet_listing.bytes_of(url, piece) if piece.form == "embedded" else piece.span[1] - piece.span[0]


def shards(url: str) -> list[str] | None:
    """Read a listing of shards; None where its first row does not name a shard.

    Raises:
        SettingsError: it names shards and other files.
        DamagedFileError: it is a damaged Parquet file.
        OSError: the store failed.
    """
    every = chain.from_iterable(entries(url, piece, ()) for piece in slices(url) if piece.form != "embedded")
    first = next(every, None)
    if first is None or first.uri is None or not is_shard(first.uri):
        return None
    named = []
    for number, entry in enumerate(chain([first], every)):
        if entry.uri is None or not is_shard(entry.uri):
            text = entry.text[:MAX_TEXT_CHARACTERS]
            raise SettingsError(
                f"{url} names shards, and in row {number:,} {text!r}; put other files into another listing"
            )
        named.append(entry.uri)
    return named


def entries(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[Entry]:
    """Read one slice.

    Args:
        url: the listing.
        piece: the slice.
        carry: columns to return with the URI, including those of a partitioned folder's path.

    Raises:
        DamagedFileError: its bytes are damaged; the rows before them were yielded.
        OSError: the store failed.
    """
    base = posixpath.dirname(storage.without_query(url))
    partitions = _partitions(base) if carry else {}
    if piece.form == "embedded":
        yield from _images(url, piece, carry, partitions)
        return
    for number, row in enumerate(_rows(url, piece, carry), piece.rows[0]):
        carried = {name: as_text(row[name] if name in row else partitions.get(name)) for name in carry}
        text = as_text(row.get(piece.column or text_listing.URI)) or ""
        if TOO_WIDE in row:
            yield Entry(None, text[:MAX_TEXT_CHARACTERS], carried, fault=str(row[TOO_WIDE]))
        elif found := DATA.match(text):
            yield _data(url, str(number), text, found, carried)
        else:
            yield _named(text, base, carried)


def _named(text: str, base: str, carried: dict[str, str | None]) -> Entry:
    bare, fault = text.strip(), None
    if WINDOWS.match(bare):
        fault = f"{bare[:MAX_TEXT_CHARACTERS]!r} is a Windows path; write it as this machine reaches it"
    elif LONE_SURROGATE.search(bare):
        fault = f"{bare[:MAX_TEXT_CHARACTERS]!r} holds half of a surrogate pair, which no name can; correct the listing"
    elif bare.lower().startswith("data:"):
        fault = f"{bare[:MAX_TEXT_CHARACTERS]!r} is a data URI without a comma before its data"
    uri = None if fault else _resolve(bare, base)
    if uri is not None and bare != text and not PROTOCOL.match(bare):  # a space may be part of a name
        literal = _resolve(text, base)
        if literal is not None and storage.is_local(literal) and os.path.lexists(storage.filesystem(literal)[1]):
            uri = literal
    return Entry(uri, text, carried, fault=fault)


def _data(url: str, key: str, text: str, found: re.Match[str], carried: dict[str, str | None]) -> Entry:
    """Decode the image of a data URI."""
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
    for number, values, row in parquet_listing.read_images(url, piece, carry):
        carried = {name: as_text(row[name] if name in row else partitions.get(name)) for name in carry}
        for position, value in enumerate(values):
            empty = False
            own = f"{number}.{position}" if not piece.images else str(number)
            yield _image(url, base, f"{own}.{piece.column}" if piece.several else own, value, carried)
    if empty:
        rows = f"rows {piece.rows[0]:,} to {piece.rows[1] - 1:,}"
        yield Entry(None, str(piece.rows[0]), dict.fromkeys(carry), fault=f"{rows} of {url} hold no image")


def _image(url: str, base: str, own: str, value: Any, carried: dict[str, str | None]) -> Entry:
    """Read the image of a cell: its bytes, or the file that it names."""
    path = value.get("path") if isinstance(value, dict) else None
    data = value.get("bytes") if isinstance(value, dict) else value
    key = str(path or own)
    if data is not None:
        return Entry(url, key, carried, data)
    if path:
        return _named(str(path), base, carried)
    return Entry(None, key, carried, fault=f"row {own} of {url} holds no image")


def _rows(url: str, piece: Slice, carry: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    return (
        parquet_listing.read_rows(url, piece, carry) if piece.form == "parquet" else text_listing.read_rows(url, piece)
    )


def _resolve(text: str, base: str) -> str | None:
    """Resolve an entry: URLs and absolute paths as they are, other paths against the listing's folder."""
    if not text:
        return None
    if PROTOCOL.match(text):
        return text
    if text.startswith("/") or not base:
        return _written(text)
    if not PROTOCOL.match(base):
        return _written(posixpath.normpath(storage.join(base, text)))
    while text.startswith(("./", "../")):  # object keys have no relative steps
        step, _, text = text.partition("/")
        if step == ".." and HAS_FOLDER.match(base):
            base = posixpath.dirname(base)
    return storage.join(base, text)


def _written(path: str) -> str:
    """Encode a local path: as a `file:` URL where its bytes are not UTF-8, which a table cannot hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"file://{quote(path, errors='surrogateescape')}"
    return path


def columns_of(url: str, piece: Slice) -> frozenset[str]:
    """Return the columns of a listing that are known before it is read, including those of its folder's path."""
    own = (*piece.columns, *_partitions(posixpath.dirname(storage.without_query(url))))
    return frozenset(own) if piece.columns else frozenset()


def _partitions(base: str) -> dict[str, str]:
    """Parse the partition columns of a folder's path, as Hive and Spark write them: `date=2026-11-01`."""
    found = (PARTITION.match(folder) for folder in base.split("/"))
    return {unquote(match[1]): unquote(match[2]) for match in found if match}
