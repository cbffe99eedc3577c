"""Storage access: reads, atomic writes and listings for any URL that fsspec supports.

URLs are literal: `::` does not chain, and local paths and keys of stores are not decoded. Only a `file:` URL is
percent-decoded, and only a web server's URL has a query and a fragment.
"""

import os
import re
import time
from contextlib import suppress
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from mole.errors import SettingsError, StorageError
from pipeline.records import Status
from pipeline.storage import bucket, local
from pipeline.storage.access_policy import AccessPolicy
from pipeline.storage.fault import STORE_FAULTS, already_exists, fault_of
from pipeline.storage.file_info import FileInfo, identity_of
from pipeline.storage.guard import Guard, guarded
from pipeline.storage.protocol import protocol_of
from pipeline.storage.retry import is_web, with_retries
from pipeline.storage.s3_file_system import S3Files
from pipeline.storage.web import WebFileSystem

CHAIN = re.compile(r"^[a-z0-9]+::[A-Za-z0-9+.-]+://")
CHAINED = {"zip", "tar", "libarchive", "dir", "reference", "generic", "asyncwrapper"}
CHAINED |= {"cached", "blockcache", "filecache", "simplecache"}
"""fsspec protocols that are valid only in a chained URL."""


def filesystem(url: str, policy: AccessPolicy | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a URL.

    Args:
        url: the URL.
        policy: the places that are allowed, here and in the functions below; None allows all.

    Returns:
        The file system, and the path in it.

    Raises:
        SettingsError: no installed file system supports the URL's protocol, or it needs more than the URL.
        RefusedError: the URL is against the access policy.
    """
    if policy is not None:
        policy.check(url)
    protocol = protocol_of(url)
    if protocol in CHAINED or (protocol is None and CHAIN.match(url)):
        raise SettingsError(f"cannot open {url!r}: chained URLs are not read; name the file itself")
    if protocol is None:
        return LocalFileSystem(), local.path_of(url)
    if is_s3(url):  # a listings cache grows with the store, and hides others' writes
        return S3Files(use_listings_cache=False), str(S3Files._strip_protocol(url))
    try:
        kind = fsspec.get_filesystem_class(protocol)
        if is_web(url):
            return WebFileSystem(policy=policy), absolute(url)
        return kind(**kind._get_kwargs_from_urls(url), use_listings_cache=False), str(kind._strip_protocol(url))
    except (ValueError, ImportError, TypeError) as reason:
        raise SettingsError(f"cannot open {url!r}: {reason}; give a local path or the URL of one store") from reason


def is_local(url: str) -> bool:
    """Return whether a URL is a local path."""
    return protocol_of(url) is None


def is_s3(url: str) -> bool:
    """Return whether a URL is that of an S3 object or bucket."""
    return protocol_of(url) in S3FileSystem.protocol


def absolute(url: str) -> str:
    """Return a URL in the form of the verdict table: local paths absolute, others with their protocol."""
    if is_s3(url):
        return f"s3://{url.partition('://')[2]}"
    if is_web(url):
        protocol, _, rest = url.partition("://")
        return f"{protocol.lower()}://{rest}"
    fs, path = filesystem(url)
    return url_of(fs, path)


def url_of(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """Return the URL of a path of a file system."""
    return local.as_text(path) if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def without_query(url: str) -> str:
    """Return a web server's URL without query and fragment, any other unchanged."""
    return url.partition("#")[0].partition("?")[0] if is_web(url) else url


def join(url: str, *names: str) -> str:
    """Append names to a folder's URL."""
    return "/".join([url.rstrip("/"), *names])


def info(url: str, *, policy: AccessPolicy | None = None) -> FileInfo | None:
    """Return a file's info; None for a folder.

    Raises:
        OSError: it does not exist, or the store denies access (or another of `STORE_FAULTS`).
    """
    fs, path = filesystem(url, policy)
    if isinstance(fs, LocalFileSystem):
        os.stat(path)
        return None if os.path.isdir(path) else local.info(path)
    if isinstance(fs, S3FileSystem):
        return with_retries(lambda: bucket.info(fs, absolute(url)), url)
    entry = with_retries(lambda: fs.info(path), url)
    return None if entry["type"] == "directory" else file_info(fs, entry)


def file_info(fs: fsspec.AbstractFileSystem, entry: dict[str, Any]) -> FileInfo:
    """Convert an fsspec `info`; a local file is stat'ed again for its mtime in nanoseconds."""
    name = str(entry["name"])
    if isinstance(fs, LocalFileSystem):
        return local.info(name)
    size = entry.get("size")
    return FileInfo(url_of(fs, name), None if size is None else int(size), identity_of(entry))


def read(url: str, *, max_bytes: int | None = None, policy: AccessPolicy | None = None) -> bytes:
    """Read a file.

    Args:
        url: its URL.
        max_bytes: stop after this many bytes; None reads all.
        policy: the places that are allowed.

    Raises:
        OSError: the store's error; `fault_of` classifies it.
    """
    fs, path = filesystem(url, policy)

    def once() -> bytes:
        """Read in one attempt."""
        if isinstance(fs, LocalFileSystem):
            return local.read(path, max_bytes=max_bytes)
        if isinstance(fs, S3FileSystem):
            return bucket.read(fs, url, None if max_bytes is None else (0, max_bytes))
        if isinstance(fs, WebFileSystem):
            return fs.read(path, max_bytes=max_bytes)
        with fs.open(path, "rb") as stream:
            return bytes(stream.read() if max_bytes is None else stream.read(max_bytes))

    return with_retries(once, url)


def read_range(url: str, start: int, end: int, *, policy: AccessPolicy | None = None) -> bytes:
    """Read a byte range of a file in one request; an empty range needs none, and HTTP has none.

    Args:
        url: its URL.
        start: the first byte.
        end: the byte after the last.
        policy: the places that are allowed.

    Raises:
        OSError: the store's error, or fewer bytes than requested.
    """
    fs, path = filesystem(url, policy)
    if start == end:
        return b""

    def once() -> bytes:
        """Read in one attempt; raises OSError for fewer bytes than requested."""
        span = (start, end)
        data = bucket.read(fs, url, span) if is_s3(url) else bytes(fs.cat_file(path, start=start, end=end))
        if len(data) != end - start:
            raise OSError(f"received {len(data):,} of {end - start:,} bytes from byte {start:,}")
        return data

    return with_retries(once, url)


def size(url: str) -> int:
    """Return a file's size in bytes; 0 if it does not exist."""
    try:
        file = info(url)
    except STORE_FAULTS:
        return 0
    return 0 if file is None else file.size or 0


def exists(url: str) -> bool:
    """Return whether a file or folder exists, without any cache."""
    fs, path = filesystem(url)
    return bool(with_retries(lambda: fs.exists(path), url))


def require_exists(url: str, setting: str) -> None:
    """Check that a file or folder named by the user exists.

    Args:
        url: its URL.
        setting: what named it, for the error message: a flag, or words.

    Raises:
        SettingsError: it does not exist.
        StorageError: the store does not respond or denies access.
    """
    try:
        info(url)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        if status is Status.MISSING:
            raise SettingsError(f"{setting} {url!r} is not there; name one that is") from reason
        raise StorageError(f"cannot access {setting} {url!r}: {detail}") from reason


def write(url: str, data: bytes, *, guard: Guard | None = None) -> None:
    """Write a file atomically, if the guard holds: readers see the old file or the new one.

    Raises:
        MoleError: the store denies the write or is full (`StorageError`), or the guard's.
    """
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            local.write(path, data, guard=guard)
        else:
            with_retries(lambda: guarded(guard, lambda: fs.pipe_file(path, data)), url)
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot write {len(data):,} bytes to {url!r}: {reason}") from reason


def create(url: str, data: bytes) -> bool:
    """Create a file atomically if it does not exist.

    Returns:
        False if it exists; after a retry it may be this very file, if the response to the first write was lost.

    Raises:
        StorageError: the store denies the write.
    """
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            return local.create(path, data)
        if isinstance(fs, MemoryFileSystem) and fs.exists(path):
            return False
        with_retries(lambda: fs.pipe_file(path, data, mode="create"), url)
    except FileExistsError:
        return False
    except STORE_FAULTS as reason:
        if already_exists(reason):
            return False
        raise StorageError(f"cannot write {url!r}: {reason}") from reason
    return True


def remove(url: str, *, guard: Guard | None = None) -> None:
    """Remove a file, if it exists, and if the guard holds.

    Raises:
        MoleError: the store denies access (`StorageError`), or the guard's.
    """
    fs, path = filesystem(url)
    try:
        with_retries(lambda: guarded(guard, lambda: fs.rm_file(path)), url)
    except FileNotFoundError:
        return
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot remove {url!r}: {reason}") from reason


def remove_temporary_files(folder: str, *, older_than: float = 0.0) -> None:
    """Remove unfinished files of killed writers, of some seconds of age, from a local folder; stores have none."""
    if not is_local(folder):
        return
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(absolute(folder)) as entries:
        for entry in entries:
            age = time.time() - entry.stat(follow_symlinks=False).st_mtime
            if local.TEMPORARY_MARK in entry.name and entry.is_file() and (not older_than or age > older_than):
                remove(entry.path)


def list_files(folder: str, suffix: str) -> list[str]:
    """List the URLs of the files directly in a folder whose name ends with `suffix`; empty if it does not exist.

    Raises:
        StorageError: the store denies access.
    """
    fs, path = filesystem(folder)
    try:
        entries = bucket.names(fs, folder) if is_s3(folder) else with_retries(lambda: fs.ls(path, detail=False), folder)
    except FileNotFoundError:
        return []
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot list {folder!r}: {reason}") from reason
    # a store's folder may list itself
    files = [str(entry).rstrip("/") for entry in entries if str(entry).rstrip("/") != path.rstrip("/")]
    return sorted(join(folder, file.rsplit("/", 1)[-1]) for file in files if file.endswith(suffix))
