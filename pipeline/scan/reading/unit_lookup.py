"""Unit lookup: makes the unit of a URI from what its store says of it now."""

import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mole.errors import SettingsError, StorageError
from pipeline.records import Status
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.storage import storage
from pipeline.storage.access_policy import AccessPolicy
from pipeline.storage.fault import STORE_FAULTS, fault_of, is_refused
from pipeline.storage.file_info import FileInfo
from pipeline.storage.folder import files
from pipeline.storage.retry import is_web
from pipeline.storage.signed_url import unsigned

FILES_PER_LISTING = 8
"""A folder is listed once where a source names more than this many of its files."""
LOOKUPS = 32
"""Concurrent lookups."""
REFUSED = "refused"
"""The identity of a shard that its listing may not name."""


def file_unit(place: FileInfo, key: str) -> Unit:
    """Make a single file a unit, with its fault where it is known."""
    return Unit(name_of(place), place.url, Kind.FILE, key=key, images=1, size=place.size, fault=place.fault)


def name_of(place: FileInfo) -> str:
    """Name a unit: its URL without a signature, and the identity of its bytes."""
    return f"{unsigned(place.url)}#{place.identity}"


def current_name(uri: str) -> str:
    """Name the unit that a shard or a single file is now: its URL, and the identity of its bytes or its fault.

    Raises:
        StorageError: the store does not answer.
    """
    place = look_up(uri)
    if isinstance(place, Unit):
        return place.name
    return f"{unsigned(uri)}#folder" if place is None else name_of(place)


def look_up(text: str, policy: AccessPolicy | None = None) -> FileInfo | Unit | None:
    """Look up a file; one that is missing or forbidden is a unit with its fault, a folder is None.

    Args:
        text: its URL or path.
        policy: the places that are allowed; None allows all.

    Raises:
        StorageError: the store does not answer.
    """
    url = storage.absolute(text)
    try:
        return storage.info(text, policy=policy)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        if status is Status.UNREACHABLE:
            raise StorageError(f"cannot look up {text!r}: {detail}") from reason
        key = posixpath.basename(storage.without_query(url))
        identity = REFUSED if is_refused(reason) else status
        return Unit(f"{unsigned(url)}#{identity}", url, Kind.SHARD, key=key, images=1, fault=(status, detail))


def look_up_all(texts: list[str], policy: AccessPolicy | None = None) -> Iterator[FileInfo | Unit]:
    """Look up many files in order; a folder with several of them is listed once.

    Args:
        texts: their URLs or paths.
        policy: the places that are allowed; None allows all.

    Raises:
        SettingsError: one of them is a folder.
        StorageError: a store does not answer.
    """
    folders = {posixpath.dirname(text) for text in texts}
    listed: dict[str, FileInfo] = {}
    if len(texts) > FILES_PER_LISTING * len(folders) and not is_web(texts[0]):
        listed = {place.url: place for folder in sorted(folders) for place in _siblings(folder, policy)}
    with ThreadPoolExecutor(LOOKUPS) as threads:
        places = threads.map(lambda text: listed.get(storage.absolute(text)) or look_up(text, policy), texts)
        for text, place in zip(texts, places, strict=True):
            if place is None:
                raise SettingsError(f"{text!r} is a folder; braces must name shards, listings or images")
            yield place


def _siblings(folder: str, policy: AccessPolicy | None) -> list[FileInfo]:
    try:
        if policy is not None:
            policy.check(folder)
        return files(folder or ".")
    except (*STORE_FAULTS, StorageError):
        return []  # each file is then looked up alone, and reports its own fault
