"""Places: any fsspec URL, what identifies the bytes there, and writes that are whole or not there at all."""

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from mole.errors import SettingsError, StorageError
from pipeline import local
from pipeline.fault import STORE_FAULTS, fault_of, is_taken
from pipeline.patience import patiently
from pipeline.records import Status


@dataclass(frozen=True)
class Found:
    """A file that a listing of its store showed.

    Attributes:
        url: where it is; a local file as its absolute path.
        size: bytes, None where the store does not tell.
        identity: changes when the bytes do: the ETag, or size and time of change.
    """

    url: str
    size: int | None
    identity: str


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Open the store behind a URL.

    Returns:
        The file system and the URL's path in it.

    Raises:
        SettingsError: no installed file system speaks the URL's protocol.
    """
    try:
        # a listing that is kept grows with the store, and hides what others write
        return url_to_fs(url, use_listings_cache=False)  # type: ignore[no-any-return]
    except (ValueError, ImportError) as reason:
        raise SettingsError(f"cannot open {url!r}: {reason}; give a local path or a URL that fsspec knows") from reason


def is_local(url: str) -> bool:
    """Tell whether a URL is a path of this machine."""
    return isinstance(filesystem(url)[0], LocalFileSystem)


def absolute(url: str) -> str:
    """Write a URL as it stands in the table: local paths absolute and bare, others with their protocol."""
    fs, path = filesystem(url)
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def join(url: str, *names: str) -> str:
    """Append names to a folder's URL."""
    return "/".join([url.rstrip("/"), *names])


def found(fs: fsspec.AbstractFileSystem, info: dict[str, Any]) -> Found:
    """Turn an fsspec `info` into what this project keeps of it; a local file is looked at, for nanoseconds."""
    name = str(info["name"])
    if isinstance(fs, LocalFileSystem):
        return found_local(name)
    size = info.get("size")
    etag = info.get("ETag") or info.get("etag") or info.get("md5Hash")
    changed = (
        info.get("mtime") or info.get("LastModified") or info.get("Last-Modified") or info.get("created") or "unknown"
    )
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    identity = str(etag).strip('"').removeprefix('W/"') if etag else f"{size}-{changed}"
    return Found(url=str(fs.unstrip_protocol(name)), size=None if size is None else int(size), identity=identity)


def found_local(path: str) -> Found:
    """Look at one local file; a broken link is found too, so that its row can say `missing`."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return Found(url=path, size=None, identity="broken-link")
    return Found(url=path, size=facts.st_size, identity=f"{facts.st_size}-{facts.st_mtime_ns}")


def read(url: str, *, most: int | None = None) -> bytes:
    """Read a file's bytes.

    Args:
        url: where it is.
        most: stop after this many bytes; None reads all.

    Raises:
        OSError: as the store said it; `fault_of` names it.
    """
    fs, path = filesystem(url)

    def once() -> bytes:
        with fs.open(path, "rb") as stream:
            return bytes(stream.read() if most is None else stream.read(most))

    return patiently(once, url)


def read_range(url: str, start: int, end: int) -> bytes:
    """Read some of a file's bytes in one request.

    Args:
        url: where it is.
        start: the first byte.
        end: the byte behind the last.

    Raises:
        OSError: as the store said it, or because it gave fewer bytes.
    """
    fs, path = filesystem(url)

    def once() -> bytes:
        data = bytes(fs.cat_file(path, start=start, end=end))
        if len(data) != end - start:
            raise OSError(f"{len(data):,} bytes came of the {end - start:,} from byte {start:,}")
        return data

    return patiently(once, url)


def size(url: str) -> int:
    """Tell how many bytes a file has; one that is gone has none."""
    fs, path = filesystem(url)
    try:
        return int(patiently(lambda: fs.info(path), url).get("size") or 0)
    except STORE_FAULTS:
        return 0


def exists(url: str) -> bool:
    """Tell whether a file or folder is there now, whatever a listing said before."""
    fs, path = filesystem(url)
    return bool(fs.exists(path))


def demand(url: str, written: str) -> None:
    """Insist that a file or folder which the user named is there.

    Args:
        url: where.
        written: what named it: a flag, or words.

    Raises:
        SettingsError: nothing is there.
        StorageError: the store does not answer, or does not let us look.
    """
    fs, path = filesystem(url)
    try:
        patiently(lambda: fs.info(path), url)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        if status is Status.MISSING:
            raise SettingsError(f"{written} {url!r} is not there; name one that is") from reason
        raise StorageError(f"cannot look at {written} {url!r}: {detail}") from reason


def write(url: str, data: bytes) -> None:
    """Put a whole file in place in one step; who reads meanwhile sees the old one or the new one.

    Raises:
        StorageError: the store refuses the write or is full.
    """
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            local.write(path, data)
        else:
            patiently(lambda: fs.pipe_file(path, data), url)
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot write {len(data):,} bytes to {url!r}: {reason}") from reason


def create(url: str, data: bytes) -> bool:
    """Put a file in place only where none is.

    Returns:
        False if there was one already; it may be this very one, where the store took it and its answer was lost.

    Raises:
        StorageError: the store refuses the write.
    """
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            return local.create(path, data)
        if isinstance(fs, MemoryFileSystem) and fs.exists(path):
            return False
        patiently(lambda: fs.pipe_file(path, data, mode="create"), url)
    except FileExistsError:
        return False
    except STORE_FAULTS as reason:
        if is_taken(reason):
            return False
        raise StorageError(f"cannot write {url!r}: {reason}") from reason
    return True


def remove(url: str) -> None:
    """Remove a file; one that is gone already is no fault.

    Raises:
        StorageError: the store refuses.
    """
    fs, path = filesystem(url)
    try:
        patiently(lambda: fs.rm_file(path), url)
    except FileNotFoundError:
        return
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot remove {url!r}: {reason}") from reason


def sweep(folder: str) -> None:
    """Remove what writers that were killed left half written in a local folder; a store keeps no such thing."""
    if not is_local(folder):
        return
    with suppress(FileNotFoundError), os.scandir(absolute(folder)) as entries:
        for entry in entries:
            if local.TEMPORARY in entry.name and entry.is_file():
                remove(entry.path)


def names(folder: str, suffix: str) -> list[str]:
    """List the URLs of the files right in a folder whose name ends so; a folder that is not there has none.

    Raises:
        StorageError: the store refuses.
    """
    fs, path = filesystem(folder)
    try:
        entries = patiently(lambda: fs.ls(path, detail=False), folder)
    except FileNotFoundError:
        return []
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot list {folder!r}: {reason}") from reason
    # a store may list a folder in itself
    files = [str(entry).rstrip("/") for entry in entries if str(entry).rstrip("/") != path.rstrip("/")]
    return sorted(join(folder, file.rsplit("/", 1)[-1]) for file in files if file.endswith(suffix))
