"""Ray session: the folder of a local Ray's logs and sockets, which is deleted after a run that succeeded."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from pipeline.runtime.daemons import watched_daemons
from pipeline.runtime.scratch import held, remove_abandoned


@contextmanager
def ray_session(folder: Path) -> Iterator[None]:
    """Hold the folder of the Ray that this process started; after a block without an error, end Ray and remove it.

    That of a run that failed or was killed stays until the next run, for its logs.

    Args:
        folder: Ray's session folder.

    Raises:
        StorageError: a daemon of this Ray is gone.
        OSError: the disk is full or read-only.
    """
    remove_abandoned(folder.parent.glob("session_*"))
    with held(folder), watched_daemons():
        yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def muted() -> Iterator[None]:
    """Discard what Ray's C++ core prints to stderr at startup; errors are exceptions anyway."""
    sys.stderr.flush()
    stderr_copy, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(nowhere)
