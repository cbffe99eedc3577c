"""A folder: every file below it; a store's sub-folders are listed side by side, and nothing of it is kept."""

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from mole.errors import StorageError
from pipeline import storage
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.patience import patiently
from pipeline.storage import Found, filesystem, found

LISTERS = 16
"""Sub-folders of a store that are listed at a time."""


def walk(url: str) -> Iterator[Found]:
    """Yield every file below a folder; a disk's in the order of their names, links followed, a circle of links once.

    A store's sub-folders come as they are listed, each in the order of its names.

    Raises:
        StorageError: a folder below cannot be listed, so files in it would be lost.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        yield from _walk_local(path)
        return
    with ThreadPoolExecutor(LISTERS) as listers:
        waiting: set[Future[list[dict[str, Any]]]] = {listers.submit(_list, url)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for listed in done:
                for info in sorted(listed.result(), key=lambda info: str(info["name"])):
                    if info["type"] == "directory":
                        waiting.add(listers.submit(_list, str(fs.unstrip_protocol(info["name"]))))
                    elif not str(info["name"]).endswith("/"):
                        yield found(fs, info)


def _list(url: str) -> list[dict[str, Any]]:
    fs, path = filesystem(url)
    try:
        entries = patiently(lambda: fs.ls(path, detail=True), url)
    except FileNotFoundError:
        return []
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot list {url!r}: {fault_of(reason)[1]}") from reason
    # a store's folder may list itself, as an empty object of its own name
    return [info for info in entries if str(info["name"]).rstrip("/") != path.rstrip("/")]


def _walk_local(folder: str) -> Iterator[Found]:
    def refuse(reason: OSError) -> None:
        raise StorageError(
            f"cannot list {reason.filename!r}: {reason.strerror}; make it readable or scan another folder"
        )

    seen: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        folders.sort()
        facts = os.stat(here)
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        for name in sorted(names):
            yield storage.found_local(os.path.join(here, name))
