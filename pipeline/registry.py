"""The registry: where a model's folder is, brought to this machine if it lies in a store."""

import hashlib
import os
from pathlib import Path

from platformdirs import user_cache_path

import mole
from mole.errors import ModelError
from pipeline import storage

EMBEDDED = "embedded"
CONFIG = "config.json"


def locate(model: str, digest: str | None = None) -> Path:
    """Find a checkpoint's folder on this machine.

    Args:
        model: `embedded`, a folder, or the URL of one.
        digest: names the copy of a remote folder, so that another version is never taken for it.

    Returns:
        A local folder with a `config.json`.

    Raises:
        ModelError: there is no checkpoint.
    """
    if model == EMBEDDED:
        return Path(mole.__path__[0]) / EMBEDDED
    if not storage.is_local(model):
        return _copy(model, digest)
    folder = Path(storage.absolute(model))
    if not (folder / CONFIG).is_file():
        raise ModelError(f"--model {model!r} holds no {CONFIG}; name a checkpoint's folder or {EMBEDDED!r}")
    return folder


def _copy(model: str, digest: str | None) -> Path:
    """Copy a remote checkpoint into the user's cache; files appear there whole."""
    try:
        config = storage.read(storage.join(model, CONFIG))
        version = hashlib.sha256(model.encode() + config + (digest or "").encode()).hexdigest()[:32]
        folder = user_cache_path("mole-scan") / version
        for place in storage.walk(model):
            target = folder / os.path.relpath(place.url, storage.absolute(model))
            if not target.exists():
                storage.write(str(target), storage.read(place.url))
    except storage.STORE_FAULTS as reason:
        raise ModelError(f"--model {model!r}: {storage.fault_of(reason)[1]}") from reason
    return folder
