"""Scratch: temporary folders locked by their process; the next run deletes those of killed processes."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK = ".mole-scan-lock"
"""A file in the folder, locked by its process; the kernel unlocks it however that process ends."""


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end; those of killed processes with this prefix are removed first.

    Args:
        prefix: of its name.

    Raises:
        OSError: the disk is full or read-only.
    """
    remove_abandoned(Path(tempfile.gettempdir()).glob(f"{prefix}*"))
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        with held(folder):
            files = folder / "files"  # without the lock, so that it has what its user puts there and nothing else
            files.mkdir()
            yield files
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no other process takes it for abandoned.

    Raises:
        OSError: the disk is full or read-only.
    """
    with open(folder / LOCK, "w") as lock:
        _lock(lock)
        yield


def remove_abandoned(folders: Iterable[Path]) -> int:
    """Remove folders that were held by a process that is gone; others, also those never held, stay.

    Returns:
        How many were removed.
    """
    removed = 0
    for folder in folders:
        try:
            with open(folder / LOCK, "r+") as lock:
                abandoned = _lock(lock)
                if abandoned:
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # never held, another user's, or just removed
            continue
        removed += abandoned
    return removed


def _lock(file: IO[str]) -> bool:
    """Lock an open file; False if another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
