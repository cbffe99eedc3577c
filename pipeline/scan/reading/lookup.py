"""Lookup: what lies at a place now, as the unit that it is or would be."""

import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mole.errors import SettingsError, StorageError
from pipeline.records import Status
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.file_info import FileInfo
from pipeline.storage.folder import files
from pipeline.storage.retry import is_web
from pipeline.storage.signature import unsigned

MANY = 8
LOOKS = 32


def file_unit(place: FileInfo, key: str) -> Unit:
    """Make a single file a unit, with its fault where one is known."""
    return Unit(name_of(place), place.url, Kind.FILE, key=key, images=1, size=place.size, fault=place.fault)


def name_of(place: FileInfo) -> str:
    """Name a unit: where its bytes lie, whatever signature its URL bears, and what changes when they do."""
    return f"{unsigned(place.url)}#{place.identity}"


def name_now(uri: str) -> str:
    """Name the unit that a shard or a single file is now: its place, and the identity of its bytes or its fault.

    Raises:
        StorageError: the store does not answer.
    """
    place = look_at(uri)
    if isinstance(place, Unit):
        return place.name
    return f"{unsigned(uri)}#folder" if place is None else name_of(place)


def look_at(text: str) -> FileInfo | Unit | None:
    """Look at a file; one that is missing or forbidden is a unit with its fault, a folder is None.

    Raises:
        StorageError: the store does not answer.
    """
    url = storage.absolute(text)
    try:
        return storage.info(text)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        if status is Status.UNREACHABLE:
            raise StorageError(f"cannot look at {text!r}: {detail}") from reason
        key = posixpath.basename(storage.file_name(url))
        return Unit(f"{unsigned(url)}#{status}", url, Kind.SHARD, key=key, images=1, fault=(status, detail))


def look_at_all(texts: list[str]) -> Iterator[FileInfo | Unit]:
    """Look at many files in order: a folder of a store is listed once where it holds several of them."""
    folders = {posixpath.dirname(text) for text in texts}
    there: dict[str, FileInfo] = {}
    if len(texts) > MANY * len(folders) and not is_web(texts[0]):
        there = {place.url: place for folder in sorted(folders) for place in _siblings(folder)}
    with ThreadPoolExecutor(LOOKS) as lookers:
        places = lookers.map(lambda text: there.get(storage.absolute(text)) or look_at(text), texts)
        for text, place in zip(texts, places, strict=True):
            if place is None:
                raise SettingsError(f"{text!r} is a folder; braces name shards, listings or images")
            yield place


def _siblings(folder: str) -> list[FileInfo]:
    try:
        return files(folder or ".")
    except (*STORE_FAULTS, StorageError):
        return []  # each file is then looked at alone, and says itself what is wrong
