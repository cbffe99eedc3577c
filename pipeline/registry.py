"""Model registry: immutable versions named by digest, and a log of promotions.

versions/<digest>/config.json ...    a checkpoint and its reports; config.json is written last
promotions/<number>.json             one entry per promotion or rollback; the highest number is the promoted version
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_cache_path

import mole
from mole.config import CONFIG, describe
from mole.errors import ModelError, SettingsError, StorageError
from pipeline.promotion_record import Promotion, read_promotion
from pipeline.records import Status
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.folder import walk

EMBEDDED, PROMOTED = "embedded", "promoted"
VERSIONS, PROMOTIONS = "versions", "promotions"
NUMBER_DIGITS = 8  # of an entry's number
MIN_DIGEST_CHARACTERS = 4  # minimum number of leading characters of a digest that identify a version
DIGEST = re.compile(f"[0-9a-f]{{{MIN_DIGEST_CHARACTERS},32}}")
ROLLBACK_REASON = "rolled back from "  # prefix of the reason of a rollback


class Registry:
    """A registry at a folder URL."""

    def __init__(self, url: str) -> None:
        self.url = storage.absolute(url)

    def version(self, digest: str) -> str:
        """Return the URL of a version's folder."""
        return storage.join(self.url, VERSIONS, digest)

    def add(self, folder: Path, extra: Mapping[str, bytes]) -> str:
        """Add a checkpoint as a version; an existing version is not changed.

        Args:
            folder: the checkpoint's folder.
            extra: further files by name.

        Returns:
            The version's digest.

        Raises:
            ModelError: the folder is not a checkpoint.
            StorageError: the store denies access.
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
        storage.write(storage.join(place, CONFIG), (folder / CONFIG).read_bytes())  # last, which makes it a version
        return digest

    def read(self, digest: str, name: str) -> bytes:
        """Read a file of a version.

        Raises:
            ModelError: there is no such version or file.
            StorageError: the store does not respond.
        """
        try:
            return storage.read(storage.join(self.version(digest), name))
        except STORE_FAULTS as reason:
            raise _fault(f"version {digest!r} of {self.url}", reason) from reason

    def log(self) -> list[Promotion]:
        """Read all promotions, oldest first.

        Raises:
            StorageError: the store denies access.
        """
        files = storage.list_files(storage.join(self.url, PROMOTIONS), ".json")
        return [read_promotion(storage.read(file), file) for file in files]

    def promoted(self) -> str | None:
        """Return the promoted digest; None before the first promotion."""
        files = storage.list_files(storage.join(self.url, PROMOTIONS), ".json")
        return read_promotion(storage.read(files[-1]), files[-1]).digest if files else None

    def promote(self, digest: str, reason: str, *, replacing: str | None, base: str | None = None) -> Promotion:
        """Promote a version atomically: by creating one file, which only one of two writers can.

        Args:
            digest: a version of this registry.
            reason: why.
            replacing: the promoted version at the time of the decision.
            base: the version that a first promotion was compared with, which a rollback returns to.

        Raises:
            ModelError: there is no such version.
            StorageError: another promotion happened meanwhile, or the store denies access.
        """
        if not storage.exists(storage.join(self.version(digest), CONFIG)):
            raise ModelError(f"{digest!r} is not a version of {self.url}; {self.describe_versions()}")
        log = self.log()
        now = log[-1].digest if log else None
        if now != replacing:
            raise StorageError(f"{now} was promoted meanwhile, not {replacing}; judge {digest} against it again")
        entry = Promotion(number=len(log) + 1, digest=digest, replaced=now or base, reason=reason, at=datetime.now(UTC))
        file = storage.join(self.url, PROMOTIONS, f"{entry.number:0{NUMBER_DIGITS}}.json")
        if not storage.create(file, entry.model_dump_json(indent=2).encode()):
            raise StorageError(f"another promotion took number {entry.number} of {self.url}; judge {digest} again")
        return entry

    def before(self) -> str | None:
        """Return the version that a rollback would promote; None if that is a base which the log does not name.

        Raises:
            SettingsError: there is nothing to roll back.
        """
        stack, base_known = list[str](), False  # versions, the oldest first, and whether that one is a base
        for entry in self.log():
            if not entry.reason.startswith(ROLLBACK_REASON):
                if not stack and entry.replaced is not None:
                    stack, base_known = [entry.replaced], True
                stack.append(entry.digest)
                continue
            stack.pop()
            if not stack:
                stack, base_known = [entry.digest], True
        if not stack or (base_known and len(stack) == 1):
            reason = f"its base {stack[0]} is promoted" if stack else "nothing was promoted"
            raise SettingsError(f"{self.url} has nothing to roll back to: {reason}")
        return stack[-2] if len(stack) > 1 else None

    def roll_back(self, to: str, *, note: str = "") -> Promotion:
        """Promote the version before the promoted one again.

        Args:
            to: its digest, from `before`, or a base's.
            note: text to append to the reason in the log.

        Raises:
            ModelError: there is no such version.
            StorageError: another promotion happened meanwhile, or the store denies access.
        """
        now = str(self.promoted())
        return self.promote(to, f"{ROLLBACK_REASON}{now}{note}", replacing=now)

    def find(self, name: str) -> str | None:
        """Find a version by its digest or a prefix of it; None if there is none.

        Raises:
            SettingsError: the prefix is ambiguous.
            StorageError: the store denies access.
        """
        there = self.digests()
        matches = [digest for digest in there if digest.startswith(name)] if len(name) >= MIN_DIGEST_CHARACTERS else []
        if len(matches) > 1 and name not in matches:
            raise SettingsError(
                f"{name!r} matches {len(matches)} versions of {self.url}, give more of the digest: {', '.join(matches)}"
            )
        return name if name in matches else matches[0] if matches else None

    def location_of(self, name: str) -> str:
        """Resolve a digest, a prefix of one, or a folder to a URL.

        Raises:
            SettingsError: it is none of these, or an ambiguous prefix.
            StorageError: the store denies access.
        """
        digest = self.find(name)
        if digest is None and name != EMBEDDED and not storage.exists(name):
            raise SettingsError(f"{name!r} is neither a version of {self.url} nor a folder; {self.describe_versions()}")
        return absolute(name) if digest is None else self.version(digest)

    def require(self, name: str, setting: str) -> str:
        """Return the digest of the version that a user names.

        Args:
            name: the digest or its first characters.
            setting: the flag, for the error message.

        Raises:
            SettingsError: there is no registry, no such version, or more than one.
            StorageError: the store denies access.
        """
        storage.require_exists(self.url, "the registry")
        digest = self.find(name)
        if digest is None:
            raise SettingsError(f"{setting} {name!r} is no version of {self.url}; {self.describe_versions()}")
        return digest

    def describe_versions(self) -> str:
        """List the versions, as text for an error message."""
        return f"it has {', '.join(self.digests()) or 'none'}"

    def digests(self) -> list[str]:
        """List the versions by digest."""
        return [url.rsplit("/", 1)[-1] for url in storage.list_files(storage.join(self.url, VERSIONS), "")]


def resolve(model: str, url: str | None) -> str:
    """Resolve a model name given by the user to a checkpoint's location.

    Args:
        model: `promoted`, a version's digest or its first characters, or any location that `locate` accepts.
        url: the registry for the first two.

    Raises:
        SettingsError: there is no such registry, or `model` is neither a version of it nor a location.
        ModelError: no version is promoted there.
        StorageError: the store does not respond.
    """
    if url is None:
        if DIGEST.fullmatch(model) and not storage.exists(model):
            raise SettingsError(f"the model {model!r} does not exist; to name a version by its digest, give --registry")
        return model
    registry = Registry(url)
    storage.require_exists(url, "--registry")
    if model != PROMOTED:
        return registry.location_of(model)
    digest = registry.promoted()
    if digest is None:
        raise ModelError(f"{registry.url} has promoted nothing yet; {registry.describe_versions()}")
    return registry.version(digest)


def absolute(model: str) -> str:
    """Return a model's location as other processes find it, whose working folder is another: a local path in full."""
    return model if model == EMBEDDED else storage.absolute(model)


def locate(model: str, digest: str | None = None) -> Path:
    """Return a local folder with a checkpoint, downloading it if it is remote.

    Args:
        model: `embedded`, a folder, its URL, or a registry, for its promoted version.
        digest: the version of a registry, and part of the name of its local copy, so that versions are not confused.

    Returns:
        A local folder with a `config.json`.

    Raises:
        SettingsError: it does not exist.
        ModelError: it is not a checkpoint.
        StorageError: the store does not respond.
    """
    if model == EMBEDDED:
        return Path(mole.__path__[0]) / EMBEDDED
    storage.require_exists(model, "the model")
    if not storage.exists(storage.join(model, CONFIG)) and (wanted := digest or Registry(model).promoted()):
        model, digest = Registry(model).version(wanted), wanted
    if not storage.is_local(model):
        return _copy(model, digest)
    folder = Path(storage.absolute(model))
    if not (folder / CONFIG).is_file():
        raise ModelError(
            f"the model {model!r} has neither {CONFIG} nor a promotion; name a checkpoint, a registry or {EMBEDDED!r}"
        )
    return folder


def _copy(model: str, digest: str | None) -> Path:
    """Copy a remote checkpoint into the user's cache; each file is written atomically, and none outside its folder."""
    try:
        config = storage.read(storage.join(model, CONFIG))
        named = hashlib.sha256(json.dumps([model, digest]).encode() + config)
        folder = user_cache_path("mole-scan") / named.hexdigest()[:32]
        for place in walk(model):
            target = folder.joinpath(*_inside(place.key, model))
            if not target.exists():
                storage.write(str(target), storage.read(place.url))
    except STORE_FAULTS as reason:
        raise _fault(f"the model {model!r}", reason) from reason
    return folder


def _inside(key: str, model: str) -> list[str]:
    """Split a file's path below a checkpoint into names; a store's keys are any text, and may lead out of a folder.

    Raises:
        ModelError: it does.
    """
    names = key.split("/")
    if not {"", ".", ".."}.isdisjoint(names) or "\0" in key:
        raise ModelError(f"the model {model!r} has a file {key!r}, which would lie outside its folder; remove it there")
    return names


def _fault(what: str, reason: BaseException) -> ModelError | StorageError:
    """Make the error for a model's file that is missing or cannot be read."""
    status, detail = fault_of(reason)
    kind = ModelError if status is Status.MISSING else StorageError
    return kind(f"{what}: {detail}")
