"""Source: what `--source` names, as units: shards, globs and braces of them, folders, listings, inventories, images."""

import glob
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from braceexpand import braceexpand

from mole.errors import SettingsError, StorageError
from pipeline import storage
from pipeline.extension import is_image
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.folder import UNREADABLE, entries, files, is_hidden
from pipeline.found import Found
from pipeline.patience import is_web, patiently
from pipeline.records import Status
from pipeline.scan.reading import inventory, listing
from pipeline.scan.reading.passed import Passed
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.signature import unsigned

MANY = 8
LOOKS = 32
OWNER = "; who owns the store must allow it to these credentials"


@dataclass
class Source:
    """The units of a scan, and the files that were passed over.

    Attributes:
        texts: what the user named.
        all_files: try every file of a folder, whatever its name.
        passed: what was passed over, counted while the units are read.
    """

    texts: list[str]
    all_files: bool = False
    passed: Passed = field(default_factory=Passed, init=False)

    @property
    def skipped(self) -> int:
        """Files passed over because of the end of their name."""
        return self.passed.skipped

    @property
    def shards_skipped(self) -> int:
        """How many of those are shards."""
        return self.passed.shards

    @property
    def hidden(self) -> int:
        """Files and folders passed over because their name begins with a dot."""
        return self.passed.hidden

    def units(self) -> Iterator[Unit]:
        """Yield every unit, in the order in which the sources were named, each once.

        Raises:
            SettingsError: sources are nothing that can be scanned; those that are not there are named together.
            StorageError: a store cannot be listed.
        """
        seen: set[str] = set()
        self.passed = Passed()
        for units in self._sources():
            for unit in units:
                if unit.name not in seen:
                    seen.add(unit.name)
                    yield unit

    def _sources(self) -> list[Iterator[Unit]]:
        """Look at everything that is named before any of it is read."""
        found, refused = [], []
        for text in self.texts:
            try:
                found.append(self._look(text))
            except SettingsError as reason:
                refused.append(str(reason))
        if refused:
            raise SettingsError("\n".join(refused))
        return found

    def _look(self, text: str) -> Iterator[Unit]:
        try:
            place = storage.look(text)
        except STORE_FAULTS as reason:
            status, detail = fault_of(reason)
            if status is Status.UNREACHABLE:
                raise StorageError(f"cannot look at {text!r}: {detail}") from reason
            if status is Status.MISSING and _is_pattern(text):
                return self._pattern(text)
            raise _refused(text, status, detail) from reason
        except ValueError as reason:
            raise SettingsError(f"--source {text!r}: {reason}") from reason
        if place is None:
            return self._some(text, self._folder(text))
        if place.fault is not None:
            raise _refused(text, *place.fault)
        return self._open(place)

    def _some(self, text: str, units: Iterator[Unit]) -> Iterator[Unit]:
        """Insist that a folder or a glob has an image; else tell what it has."""
        before, none = self.passed, True
        self.passed = Passed()
        for unit in units:
            none = False
            yield unit
        own = self.passed
        self.passed = Passed(
            before.skipped + own.skipped, before.shards + own.shards, before.hidden + own.hidden, before.shard
        )
        if none:
            raise SettingsError(f"--source {text!r}: no image to scan; {own.told()}")

    def _pattern(self, pattern: str) -> Iterator[Unit]:
        """Expand braces, then globs; a file that braces name and the store lacks is a unit with its fault.

        Raises:
            SettingsError: the store has none of them, which says that the name is wrong, and not that some are lost.
        """
        try:
            texts = list(braceexpand(pattern))
        except ValueError as reason:
            raise SettingsError(f"--source {pattern!r}: {reason}") from reason
        globs = [text for text in texts if _is_glob(text)]
        places = list(_look_at_all([text for text in texts if not _is_glob(text)]))
        if places and not globs and all(isinstance(place, Unit) for place in places):
            reasons = {place.fault[1]: None for place in places if isinstance(place, Unit) and place.fault}
            first = next(iter(reasons))
            raise SettingsError(f"--source {pattern!r}: none of the {len(places):,} files that it names: {first}")
        return self._expanded(places, globs)

    def _expanded(self, places: list[Found | Unit], globs: list[str]) -> Iterator[Unit]:
        for place in places:
            if isinstance(place, Unit):
                yield place
            else:
                yield from self._open(place)
        for text in globs:
            yield from self._some(text, self._glob(text))

    def _glob(self, text: str) -> Iterator[Unit]:
        fs, path = storage.filesystem(text)
        try:
            places = patiently(lambda: fs.glob(path, detail=True), text)
        except STORE_FAULTS as reason:
            raise StorageError(f"cannot list {text!r}: {fault_of(reason)[1]}") from reason
        if not places:
            raise SettingsError(f"--source {text!r}: no file there has such a name")
        start = path[: _first_sign(path)].rfind("/") + 1
        asked = self.all_files or any(map(is_hidden, path[start:].split("/")))
        for name in sorted(places):
            if not asked and any(map(is_hidden, name[start:].split("/"))):
                self.passed.hidden += 1
            elif places[name]["type"] == "directory":
                yield from self._folder(storage.url_of(fs, name))
            else:
                yield from self._open(storage.found(fs, places[name]))

    def _open(self, place: Found) -> Iterator[Unit]:
        """Turn one file that was named into units, by the end of its name."""
        name, ending = name_of(place), storage.file_name(place.url)
        if is_shard(ending):
            if place.fault is None:
                yield Unit(name, place.url, Kind.SHARD, size=place.size)
            else:
                yield _file(place, posixpath.basename(ending))
        elif place.fault is None and inventory.is_inventory(ending):
            try:
                yield from inventory.units(place.url, self._pass_over)
            except STORE_FAULTS as reason:
                raise StorageError(f"cannot read the inventory {place.url!r}: {fault_of(reason)[1]}") from reason
        elif place.fault is None and listing.form_of(ending) is not None:
            try:
                for part in listing.slices(place.url):
                    rows = f"{part.rows[0]}-{part.rows[1]}"
                    yield Unit(f"{name}:{rows}", place.url, Kind.SLICE, images=part.rows[1] - part.rows[0], slice=part)
            except STORE_FAULTS as reason:
                raise StorageError(f"cannot read the listing {place.url!r}: {reason}") from reason
        elif is_image(ending) or self.all_files:
            yield _file(place, posixpath.basename(ending))
        else:
            raise SettingsError(
                f"--source {place.url!r}: not the name of a shard (.tar), a listing ({', '.join(listing.FORMS)}) "
                "or an image; --all-files tries it as an image"
            )

    def _pass_over(self, count: int) -> None:
        self.passed.skipped += count

    def _folder(self, text: str) -> Iterator[Unit]:
        for place in entries(text, hidden=self.all_files):
            if is_hidden(place.key) and not self.all_files:
                self.passed.hidden += 1
            elif is_image(place.key.rstrip("/")) or self.all_files or place.identity == UNREADABLE:
                yield _file(place, place.key)
            else:
                self.passed.skipped += 1
                if is_shard(place.url):
                    self.passed.shards += 1
                    self.passed.shard = self.passed.shard or place.url


def _file(place: Found, key: str) -> Unit:
    return Unit(name_of(place), place.url, Kind.FILE, key=key, images=1, size=place.size, fault=place.fault)


def name_of(place: Found) -> str:
    """Name a unit: where its bytes lie, whatever signature its URL bears, and what changes when they do."""
    return f"{unsigned(place.url)}#{place.identity}"


def name_now(uri: str) -> str:
    """Name the unit that a shard or a single file is now: its place, and the identity of its bytes or its fault.

    Raises:
        StorageError: the store does not answer.
    """
    place = _look_at(uri)
    if isinstance(place, Unit):
        return place.name
    return f"{unsigned(uri)}#folder" if place is None else name_of(place)


def _refused(text: str, status: Status, detail: str) -> SettingsError:
    owner = OWNER if status is Status.FORBIDDEN else ""
    return SettingsError(f"--source {text!r}: {detail}{owner}; name a shard, a folder, a listing or an image")


def _is_pattern(text: str) -> bool:
    return "{" in text or _is_glob(text)


def _is_glob(text: str) -> bool:
    """Tell whether a name has a glob's signs; those of a web server's stand in its path, and `?` is none of them."""
    if is_web(text):
        path = urlsplit(text).path
        return "*" in path or "[" in path
    return glob.has_magic(text)


def _first_sign(pattern: str) -> int:
    return min(pattern.find(sign) % (len(pattern) + 1) for sign in "*?[")


def _look_at(text: str) -> Found | Unit | None:
    """Look at a file; one that is missing or forbidden is a unit with its fault, a folder is None.

    Raises:
        StorageError: the store does not answer.
    """
    url = storage.absolute(text)
    try:
        return storage.look(text)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        if status is Status.UNREACHABLE:
            raise StorageError(f"cannot look at {text!r}: {detail}") from reason
        key = posixpath.basename(storage.file_name(url))
        return Unit(f"{unsigned(url)}#{status}", url, Kind.SHARD, key=key, images=1, fault=(status, detail))


def _look_at_all(texts: list[str]) -> Iterator[Found | Unit]:
    """Look at many files in order: a folder of a store is listed once where it holds several of them."""
    folders = {posixpath.dirname(text) for text in texts}
    there: dict[str, Found] = {}
    if len(texts) > MANY * len(folders) and not is_web(texts[0]):
        there = {place.url: place for folder in sorted(folders) for place in _siblings(folder)}
    with ThreadPoolExecutor(LOOKS) as lookers:
        places = lookers.map(lambda text: there.get(storage.absolute(text)) or _look_at(text), texts)
        for text, place in zip(texts, places, strict=True):
            if place is None:
                raise SettingsError(f"{text!r} is a folder; braces name shards, listings or images")
            yield place


def _siblings(folder: str) -> list[Found]:
    try:
        return files(folder or ".")
    except (*STORE_FAULTS, StorageError):
        return []  # each file is then looked at alone, and says itself what is wrong
