"""Local files: names as text, reads of regular files, and atomic writes."""

import errno
import os
import re
import stat
import uuid
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import quote, unquote

from fsspec.implementations.local import LocalFileSystem

from mole.errors import MoleError
from pipeline.storage.fault import SpecialFileError, fault_of
from pipeline.storage.file_info import FileInfo
from pipeline.storage.guard import Guard, guarded

TEMPORARY_MARK = ".tmp-"
"""Part of the name of every unfinished file."""
MAX_READS = 3
"""Attempts to read a file that changes while it is read."""
FILE_URL = re.compile(r"^file:(//(localhost(?=/))?)?", re.IGNORECASE)
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def path_of(url: str) -> str:
    """Return the absolute path of a local path or a `file:` URL; percent-encoding is decoded only in a URL."""
    if url.lower().startswith("file:"):
        url = unquote(FILE_URL.sub("", url), errors="surrogateescape")
    return str(LocalFileSystem._strip_protocol(f"./{url}" if url.startswith(("file:", "local:")) else url))


def as_text(path: str) -> str:
    """Return a path as text for a table: unchanged, or as a `file:` URL if it is not UTF-8."""
    return path if is_text(path) else f"file://{quote(os.fsencode(path))}"


def is_text(name: str) -> bool:
    """Return whether a name is valid UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def info(path: str) -> FileInfo:
    """Return a file's info; one that cannot be read has a fault, for its row."""
    url = as_text(path)
    try:
        facts = os.stat(path)
        _require_regular(path, facts)
    except FileNotFoundError as reason:
        return FileInfo(url, None, "broken-link", fault=fault_of(reason))
    except OSError as reason:
        return FileInfo(url, None, errno.errorcode.get(reason.errno or 0, "no-file"), fault=fault_of(reason))
    return FileInfo(url, facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}")


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading; special files are refused, since a pipe would block.

    Raises:
        OSError: it does not exist or cannot be read.
    """
    _require_regular(path, os.stat(path))
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def read(path: str, *, max_bytes: int | None = None) -> bytes:
    """Read a regular file to its end; one that changes meanwhile is read again.

    Args:
        path: its path.
        max_bytes: stop after this many bytes; None reads all.

    Raises:
        OSError: it cannot be read, or keeps changing.
    """
    for _ in range(MAX_READS):
        with open_regular(path) as stream:
            before = os.fstat(stream.fileno())
            _require_regular(path, before)
            data = stream.read() if max_bytes is None else stream.read(max_bytes)
            after = os.fstat(stream.fileno())
        if data is None:
            raise BlockingIOError(errno.EAGAIN, "reading it would block", path)
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return data
    raise OSError(errno.EBUSY, f"it changed each of {MAX_READS} times while it was read", path)


def _require_regular(path: str, facts: os.stat_result) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(facts.st_mode):
        kind = KINDS.get(stat.S_IFMT(facts.st_mode), "no file")
        raise SpecialFileError(f"{as_text(path)} is {kind}; only regular files are read")


def write(path: str, data: bytes, *, guard: Guard | None = None) -> None:
    """Replace a file atomically, after its bytes are synced to disk.

    Args:
        path: its path.
        data: its content.
        guard: must hold when it is replaced.

    Raises:
        OSError: the disk is full or the folder is not writable; the old file stays.
        MoleError: the guard's; the old file stays.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        guarded(guard, lambda: os.replace(temporary, path))
    except (OSError, MoleError):
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def create(path: str, data: bytes) -> bool:
    """Create a file atomically by a hard link, which fails if the name exists; return whether it was created."""
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.remove(temporary)
    return True


def _temporary(path: str) -> str:
    """Return a new name beside a path, for a file that will take its place; its folder is made."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, f".{name}{TEMPORARY_MARK}{uuid.uuid4().hex}")
