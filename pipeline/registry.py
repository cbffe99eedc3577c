"""The registry: a folder of model versions, each named by its digest and never changed, and the log that promotes one.

versions/<digest>/config.json ...    a checkpoint and what belongs to it; config.json is written last
promotions/<number>.json             one entry a promotion or rollback; the highest number is what is promoted
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_cache_path

import mole
from mole.config import CONFIG, describe
from mole.errors import ModelError, SettingsError, StorageError
from pipeline.promotion import Promotion
from pipeline.records import Status
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.folder import walk

EMBEDDED, PROMOTED = "embedded", "promoted"
VERSIONS, PROMOTIONS = "versions", "promotions"
DIGITS = 8  # of an entry's number
FEWEST = 4
"""Characters of a digest, at least, that stand for it."""
DIGEST = re.compile(f"[0-9a-f]{{{FEWEST},32}}")
TAKEN_BACK = "rolled back from "
"""How the reason of an entry begins that takes a promotion back."""


class Registry:
    """Versions and promotions below one folder URL."""

    def __init__(self, url: str) -> None:
        self.url = storage.absolute(url)

    def version(self, digest: str) -> str:
        """Return the URL of a version's folder."""
        return storage.join(self.url, VERSIONS, digest)

    def add(self, folder: Path, extra: Mapping[str, bytes]) -> str:
        """Put a checkpoint in as a version; one that is there already stays as it is.

        Args:
            folder: the checkpoint.
            extra: further files by name.

        Returns:
            The version's digest.

        Raises:
            ModelError: the folder is no checkpoint.
            StorageError: the store refuses.
        """
        digest = describe(folder).digest
        place = self.version(digest)
        if storage.exists(storage.join(place, CONFIG)):
            return digest
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.name != CONFIG:
                storage.write(storage.join(place, file.name), file.read_bytes())
        for name, data in extra.items():
            storage.write(storage.join(place, name), data)
        storage.write(storage.join(place, CONFIG), (folder / CONFIG).read_bytes())  # last: from now on it is a version
        return digest

    def read(self, digest: str, name: str) -> bytes:
        """Read one of a version's files.

        Raises:
            ModelError: there is no such version, or it has no such file.
            StorageError: the store does not answer.
        """
        try:
            return storage.read(storage.join(self.version(digest), name))
        except STORE_FAULTS as reason:
            raise _fault(f"version {digest!r} of {self.url}", reason) from reason

    def log(self) -> list[Promotion]:
        """Read every promotion, oldest first.

        Raises:
            StorageError: the store refuses.
        """
        files = storage.names(storage.join(self.url, PROMOTIONS), ".json")
        return [Promotion.model_validate_json(storage.read(file)) for file in files]

    def promoted(self) -> str | None:
        """Return the digest that is promoted now; None before the first promotion."""
        files = storage.names(storage.join(self.url, PROMOTIONS), ".json")
        return Promotion.model_validate_json(storage.read(files[-1])).digest if files else None

    def promote(self, digest: str, reason: str, *, replacing: str | None, base: str | None = None) -> Promotion:
        """Move the pointer in one step: one new file, which only one of two writers can create.

        Args:
            digest: a version that is here.
            reason: why.
            replacing: what was promoted when this was decided.
            base: the version that a first promotion was held against, to which a rollback leads.

        Raises:
            ModelError: there is no such version.
            StorageError: someone else promoted meanwhile, or the store refuses.
        """
        if not storage.exists(storage.join(self.version(digest), CONFIG)):
            raise ModelError(f"{digest!r} is no version of {self.url}; {self.listed()}")
        log = self.log()
        now = log[-1].digest if log else None
        if now != replacing:
            raise StorageError(f"{now} was promoted meanwhile, not {replacing}; judge {digest} against it again")
        entry = Promotion(number=len(log) + 1, digest=digest, replaced=now or base, reason=reason, at=datetime.now(UTC))
        file = storage.join(self.url, PROMOTIONS, f"{entry.number:0{DIGITS}}.json")
        if not storage.create(file, entry.model_dump_json(indent=2).encode()):
            raise StorageError(f"another promotion took number {entry.number} of {self.url}; judge {digest} again")
        return entry

    def before(self) -> str | None:
        """Return what a rollback would promote; None if that is a base which the log does not name.

        Raises:
            SettingsError: nothing was promoted, or the base is.
        """
        standing: list[str] = []
        grounded = False  # whether the lowest of them is a base
        for entry in self.log():
            if not entry.reason.startswith(TAKEN_BACK):
                if not standing and entry.replaced is not None:
                    standing, grounded = [entry.replaced], True
                standing.append(entry.digest)
                continue
            standing.pop()
            if not standing:
                standing, grounded = [entry.digest], True
        if not standing or (grounded and len(standing) == 1):
            told = f"its base {standing[0]} is promoted" if standing else "nothing was promoted"
            raise SettingsError(f"{self.url} has nothing to roll back to: {told}")
        return standing[-2] if len(standing) > 1 else None

    def roll_back(self, to: str, *, told: str = "") -> Promotion:
        """Promote again what stood before the version that is promoted now.

        Args:
            to: its digest, as `before` tells it, or a base's.
            told: what else to write into the log.

        Raises:
            ModelError: that version is not here.
            StorageError: someone else promoted meanwhile, or the store refuses.
        """
        now = str(self.promoted())
        return self.promote(to, f"{TAKEN_BACK}{now}{told}", replacing=now)

    def find(self, words: str) -> str | None:
        """Find the version whose digest is, or begins, so; None if none does.

        Raises:
            SettingsError: several begin so.
            StorageError: the store refuses.
        """
        there = self.digests()
        fits = [digest for digest in there if digest.startswith(words)] if len(words) >= FEWEST else []
        if len(fits) > 1 and words not in fits:
            raise SettingsError(
                f"{words!r} begins {len(fits)} versions of {self.url}, write more of it: {', '.join(fits)}"
            )
        return words if words in fits else fits[0] if fits else None

    def place_of(self, words: str) -> str:
        """Return the place of what is a version's digest, the beginning of one, or a place of its own.

        Raises:
            SettingsError: it is none of these, or begins several digests.
            StorageError: the store refuses.
        """
        digest = self.find(words)
        if digest is None and words != EMBEDDED and not storage.exists(words):
            raise SettingsError(f"{words!r} is no version of {self.url} and no folder; {self.listed()}")
        return words if digest is None else self.version(digest)

    def demand(self, words: str, written: str) -> str:
        """Return the digest of the version that a user calls so.

        Args:
            words: the digest, or its first characters.
            written: the flag.

        Raises:
            SettingsError: there is no registry, or no such version in it, or several.
            StorageError: the store refuses.
        """
        storage.demand(self.url, "the registry")
        digest = self.find(words)
        if digest is None:
            raise SettingsError(f"{written} {words!r} is no version of {self.url}; {self.listed()}")
        return digest

    def listed(self) -> str:
        """Say which versions there are."""
        there = self.digests()
        return f"it has {', '.join(there)}" if there else "it has none"

    def digests(self) -> list[str]:
        """List the versions by digest."""
        return [url.rsplit("/", 1)[-1] for url in storage.names(storage.join(self.url, VERSIONS), "")]


def resolve(model: str, url: str | None) -> str:
    """Turn what a user calls a model into a checkpoint's place.

    Args:
        model: `promoted`, a version's digest or its first characters, or any place that `locate` knows.
        url: the registry in which the first two are looked up.

    Raises:
        SettingsError: there is no such registry, or `model` is neither a version of it nor a place.
        ModelError: nothing is promoted there.
        StorageError: the store does not answer.
    """
    if url is None:
        if DIGEST.fullmatch(model) and not storage.exists(model):
            raise SettingsError(f"the model {model!r} is not there; a digest is looked up in --registry")
        return model
    registry = Registry(url)
    storage.demand(url, "--registry")
    if model != PROMOTED:
        return registry.place_of(model)
    digest = registry.promoted()
    if digest is None:
        raise ModelError(f"{registry.url} has promoted nothing yet; {registry.listed()}")
    return registry.version(digest)


def locate(model: str, digest: str | None = None) -> Path:
    """Find a checkpoint's folder on this machine.

    Args:
        model: `embedded`, a folder, the URL of one, or a registry, whose promoted version is meant.
        digest: the version wanted of a registry; it also names the copy of a remote folder, so that another version is
            never taken for it.

    Returns:
        A local folder with a `config.json`.

    Raises:
        SettingsError: nothing is there.
        ModelError: what is there is no checkpoint.
        StorageError: the store does not answer.
    """
    if model == EMBEDDED:
        return Path(mole.__path__[0]) / EMBEDDED
    storage.demand(model, "the model")
    registry = Registry(model)
    if not storage.exists(storage.join(model, CONFIG)) and (wanted := digest or registry.promoted()):
        model, digest = registry.version(wanted), wanted
    if not storage.is_local(model):
        return _copy(model, digest)
    folder = Path(storage.absolute(model))
    if not (folder / CONFIG).is_file():
        raise ModelError(
            f"the model {model!r} holds no {CONFIG} and no promotion; name a checkpoint, a registry or {EMBEDDED!r}"
        )
    return folder


def _copy(model: str, digest: str | None) -> Path:
    """Copy a remote checkpoint into the user's cache; files appear there whole."""
    try:
        config = storage.read(storage.join(model, CONFIG))
        version = hashlib.sha256(json.dumps([model, digest]).encode() + config).hexdigest()[:32]
        folder = user_cache_path("mole-scan") / version
        for place in walk(model):
            target = folder / os.path.relpath(place.url, storage.absolute(model))
            if not target.exists():
                storage.write(str(target), storage.read(place.url))
    except STORE_FAULTS as reason:
        raise _fault(f"the model {model!r}", reason) from reason
    return folder


def _fault(what: str, reason: BaseException) -> ModelError | StorageError:
    """Say that a file of a model is not there, or that its store fails."""
    status, detail = fault_of(reason)
    kind = ModelError if status is Status.MISSING else StorageError
    return kind(f"{what}: {detail}")
