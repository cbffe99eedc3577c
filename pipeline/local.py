"""A file of this machine, put in place whole or not at all; `pipeline.storage` writes local URLs through it."""

import os
import uuid

TEMPORARY = ".tmp-"
"""In the name of every file that is not yet whole."""


def write(path: str, data: bytes) -> None:
    """Replace a file in one step, once its bytes are on the disk.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the old file stays.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}{TEMPORARY}{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def create(path: str, data: bytes) -> bool:
    """Link a finished file to its name: the link fails where the name is taken, and nobody sees half a file."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}{TEMPORARY}{uuid.uuid4().hex}")
    with open(temporary, "xb") as stream:
        stream.write(data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.remove(temporary)
    return True
