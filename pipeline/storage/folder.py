"""Folder listing: all files below a folder, and what cannot be listed; a store's sub-folders are listed in parallel."""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from urllib.parse import quote

import fsspec
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from mole.errors import StorageError
from pipeline.storage import bucket, local
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.file_info import FileInfo
from pipeline.storage.retry import with_retries
from pipeline.storage.storage import absolute, file_info, filesystem, is_local, url_of

LISTERS = 16
"""Sub-folders of a store that are listed in parallel."""
PAGE = 10_000
"""Entries per sub-folder that are held in memory at a time."""
UNREADABLE_ADVICE = "the files in this folder have no rows: make it readable and scan again"
UNREADABLE = "unreadable-folder"
"""The identity of a folder that cannot be listed."""


def walk(url: str) -> Iterator[FileInfo]:
    """Yield every file below a folder; on disks sorted by name, following symbolic links, cycles once.

    A store's sub-folders are yielded as they are listed.

    Raises:
        StorageError: a sub-folder cannot be listed, so files in it would be lost.
    """
    for place in entries(url, hidden=True):
        if place.identity == UNREADABLE and place.fault is not None:
            raise StorageError(f"cannot list {place.url!r}: {place.fault[1]}")
        yield place


def entries(url: str, *, hidden: bool, without: str | None = None) -> Iterator[FileInfo]:
    """Yield every file below a folder, with its path below it as `key`.

    Args:
        url: the folder.
        hidden: descend into folders whose name begins with a dot; otherwise each of them is yielded instead of its
            files.
        without: a folder below it to exclude.

    Yields:
        Files, and special files with their fault; on disks also folders that cannot be listed, with their fault.

    Raises:
        StorageError: the folder itself, or a sub-folder in a store, cannot be listed.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return _local_entries(path, hidden=hidden, without=without if without and is_local(without) else None)
    excluded = None if without is None else f"{absolute(without).rstrip('/')}/"
    if isinstance(fs, S3FileSystem):
        return _store_entries(fs, bucket.folder(absolute(url)), hidden=hidden, without=excluded)
    place = absolute(url)
    return _store_entries(fs, place if place.endswith("/") else f"{place}/", hidden=hidden, without=excluded)


def files(url: str) -> list[FileInfo]:
    """List the files directly in a folder.

    Raises:
        OSError: it cannot be listed (or another of `STORE_FAULTS`).
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return [local.info(os.path.join(path, name)) for name in _names(path)[1]]
    return [place for place in _below(fs, absolute(url)) if isinstance(place, FileInfo)]


def is_hidden(key: str) -> bool:
    """Return whether a file's or folder's name begins with a dot; `.` and `..` are ordinary names in a store."""
    name = key.rstrip("/").rpartition("/")[2]
    return name.startswith(".") and name not in (".", "..")


def _store_entries(
    fs: fsspec.AbstractFileSystem, url: str, *, hidden: bool, without: str | None = None
) -> Iterator[FileInfo]:
    """List a store's folders in parallel, each a page at a time."""
    with ThreadPoolExecutor(LISTERS) as listers:
        waiting: set[Future[tuple[list[FileInfo | str], Iterator[FileInfo | str]]]] = {
            listers.submit(_page, _below(fs, url), url)
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for listed in done:
                page, rest = listed.result()
                if page:
                    waiting.add(listers.submit(_page, rest, url))
                for each in page:
                    place = FileInfo(each, None, "folder") if isinstance(each, str) else each
                    place = replace(place, key=place.url[len(url) :])
                    if isinstance(each, FileInfo) or (is_hidden(place.key) and not hidden):
                        yield place
                    elif each != without:
                        waiting.add(listers.submit(_page, _below(fs, each), each))


def _page(listing: Iterator[FileInfo | str], url: str) -> tuple[list[FileInfo | str], Iterator[FileInfo | str]]:
    """Read the next page of a folder's listing.

    Raises:
        StorageError: the store denies access, so files would be lost.
    """
    page: list[FileInfo | str] = []
    try:
        for each in listing:
            page.append(each)
            if len(page) >= PAGE:
                break
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot list {url!r}: {fault_of(reason)[1]}") from reason
    return page, listing


def _below(fs: fsspec.AbstractFileSystem, url: str) -> Iterator[FileInfo | str]:
    """Yield the direct children of a store's folder: files, and URLs of folders with a trailing slash."""
    if isinstance(fs, S3FileSystem):
        yield from bucket.below(fs, url)
        return
    path = filesystem(url)[1]
    try:
        infos = with_retries(lambda: fs.ls(path, detail=True), url)
    except FileNotFoundError:
        return
    for info in sorted(infos, key=lambda info: str(info["name"])):
        name = str(info["name"])
        if name.rstrip("/") == path.rstrip("/"):
            continue  # a store's folder may list itself
        if info["type"] == "directory":
            yield f"{url_of(fs, name).rstrip('/')}/"
        elif not name.endswith("/"):
            yield file_info(fs, info)


def _local_entries(top: str, *, hidden: bool, without: str | None = None) -> Iterator[FileInfo]:
    """Walk a folder on disk iteratively, for any depth; only one folder's names are held."""
    seen = _identities(without) - _identities(top)
    waiting = [top]
    while waiting:
        parent = waiting.pop()
        try:
            facts = os.stat(parent)
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            folders, files = _names(parent)
        except OSError as reason:
            if parent == top:
                raise StorageError(f"cannot list {parent!r}: {fault_of(reason)[1]}; make it readable") from reason
            status, detail = fault_of(reason)
            yield FileInfo(
                local.as_text(parent),
                None,
                UNREADABLE,
                _key(parent, top),
                (status, f"{detail}; {UNREADABLE_ADVICE}"),
            )
            continue
        for name in files:
            path = os.path.join(parent, name)
            yield replace(local.info(path), key=_key(path, top))
        if not hidden:
            for path in [os.path.join(parent, name) for name in folders if is_hidden(name)]:
                yield FileInfo(local.as_text(path), None, "hidden-folder", _key(path, top))
            folders = [name for name in folders if not is_hidden(name)]
        waiting += [os.path.join(parent, name) for name in reversed(folders)]


def _identities(folder: str | None) -> set[tuple[int, int]]:
    """Return a folder's device and inode, which identify it through any links; empty if it does not exist."""
    try:
        facts = os.stat(filesystem(folder)[1]) if folder is not None else None
    except OSError:
        return set()
    return set() if facts is None else {(facts.st_dev, facts.st_ino)}


def _names(folder: str) -> tuple[list[str], list[str]]:
    """List a folder's sub-folders and other entries, each sorted by name."""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries_:
        for entry in entries_:
            try:
                is_folder = entry.is_dir()
            except OSError:
                is_folder = False  # a link to itself becomes a file with a fault
            (folders if is_folder else files).append(entry.name)
    return sorted(folders), sorted(files)


def _key(path: str, top: str) -> str:
    """Return a path below a folder as text; percent-encoded if it is not UTF-8."""
    key = path[len(top) :].lstrip("/")
    return key if local.is_text(key) else quote(os.fsencode(key))
