"""Source: what `--source` names, as units: shards, globs and braces of them, folders, listings, inventories, images."""

import glob
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from braceexpand import braceexpand

from mole.errors import SettingsError, StorageError
from pipeline import storage
from pipeline.extension import is_image
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.folder import walk
from pipeline.patience import patiently
from pipeline.records import Status
from pipeline.scan.reading import inventory, listing, parts
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.torn import TornError
from pipeline.scan.reading.unit import Kind, Unit, part_of

MANY = 8
LOOKS = 32


@dataclass
class Source:
    """The units of a scan, and the files that were passed over.

    Attributes:
        texts: what the user named.
        all_files: try every file of a folder, whatever its name.
        image_member: the only member of a shard, or column of a Parquet file, that holds images; None for all that do.
        skipped: files of folders that no image's name ends like, counted while the units are read.
        shards_skipped: how many of those are shards, which a folder does not open.
    """

    texts: list[str]
    all_files: bool = False
    image_member: str | None = None
    skipped: int = field(default=0, init=False)
    shards_skipped: int = field(default=0, init=False)

    def units(self) -> Iterator[Unit]:
        """Yield every unit, in the order in which the sources were named, each once.

        Raises:
            SettingsError: a source is nothing that can be scanned.
            StorageError: a store cannot be listed.
        """
        seen: set[str] = set()
        self.skipped = self.shards_skipped = 0
        for text in self.texts:
            for unit in self._units_of(text):
                if unit.name not in seen:
                    seen.add(unit.name)
                    yield unit

    def _units_of(self, text: str) -> Iterator[Unit]:
        exact = _look(text)
        if not isinstance(exact, Unit) and exact is not None:
            try:
                yield from self._open(exact)
            except TornError as torn:
                raise SettingsError(f"--source {text!r}: {torn}") from torn
        elif _is_folder(text):
            yield from self._folder(text)
        elif any(sign in text for sign in "{*?["):
            yield from self._pattern(text)
        elif isinstance(exact, Unit) and is_shard(text):
            yield exact
        else:
            reason = exact.fault[1] if isinstance(exact, Unit) and exact.fault else "nothing is there"
            raise SettingsError(f"--source {text!r}: {reason}; name a shard, a folder, a listing or an image")

    def _pattern(self, pattern: str) -> Iterator[Unit]:
        """Expand braces, then globs; a file that braces name and the store lacks is a unit with its fault."""
        try:
            texts = list(braceexpand(pattern))
        except ValueError as reason:
            raise SettingsError(f"--source {pattern!r}: {reason}") from reason
        named = [text for text in texts if not glob.has_magic(text)]
        for place in _look_at_all(named):
            if isinstance(place, Unit):
                yield place
            else:
                yield from self._try(place)
        for text in texts:
            if glob.has_magic(text):
                yield from self._glob(text)

    def _glob(self, text: str) -> Iterator[Unit]:
        fs, path = storage.filesystem(text)
        try:
            places = patiently(lambda: fs.glob(path, detail=True), text)
        except STORE_FAULTS as reason:
            raise StorageError(f"cannot list {text!r}: {fault_of(reason)[1]}") from reason
        if not places:
            raise SettingsError(f"--source {text!r}: no file there has such a name")
        for name in sorted(places):
            if places[name]["type"] == "directory":
                yield from self._folder(storage.absolute(str(fs.unstrip_protocol(name))))
            else:
                yield from self._try(storage.found(fs, places[name]))

    def _try(self, place: storage.Found) -> Iterator[Unit]:
        """Turn one file of several into units; a damaged one is a unit that says so."""
        try:
            yield from self._open(place)
        except TornError as reason:
            fault = (Status.TORN_ARCHIVE, str(reason))
            yield replace(_file(place, posixpath.basename(place.url)), fault=fault)

    def _open(self, place: storage.Found) -> Iterator[Unit]:
        """Turn one file that was named into units, by the end of its name."""
        name = f"{place.url}#{place.identity}"
        if is_shard(place.url):
            yield Unit(part_of(name, member=self.image_member), place.url, Kind.SHARD, size=place.size)
        elif inventory.is_inventory(place.url):
            try:
                yield from inventory.units(place.url, self._pass_over)
            except STORE_FAULTS as reason:
                raise StorageError(f"cannot read the inventory {place.url!r}: {fault_of(reason)[1]}") from reason
        elif listing.form_of(place.url) is not None:
            try:
                yield from self._listing(name, place.url)
            except STORE_FAULTS as reason:
                raise StorageError(f"cannot read the listing {place.url!r}: {reason}") from reason
        elif is_image(place.url) or self.all_files:
            yield _file(place, posixpath.basename(place.url))
        else:
            raise SettingsError(
                f"--source {place.url!r}: not the name of a shard (.tar), a listing ({', '.join(listing.FORMS)}) "
                "or an image; --all-files tries it as an image"
            )

    def _listing(self, name: str, url: str) -> Iterator[Unit]:
        """Cut a listing into slices; each shard of a listing of shards is a unit of its own."""
        named = listing.shards(url)
        if named is None:
            yield from (listing.unit(name, url, piece) for piece in listing.slices(url, self.image_member))
            return
        for shard in _look_at_all(named):
            yield from [shard] if isinstance(shard, Unit) else self._open(shard)

    def _pass_over(self, files: int) -> None:
        self.skipped += files

    def _folder(self, text: str) -> Iterator[Unit]:
        folder = storage.absolute(text).rstrip("/")
        tables, images = parts.Parts(folder), False
        for place in walk(folder):
            if tables.take(place):
                continue
            if is_image(place.url) or self.all_files:
                images = True
                yield _file(place, place.url.removeprefix(folder).lstrip("/"))
            else:
                self.skipped += 1
                self.shards_skipped += is_shard(place.url)
        if images and not tables.named:
            self.skipped += len(tables.found)
            return
        for place in tables.whole():
            yield from self._try(place)


def _file(place: storage.Found, key: str) -> Unit:
    return Unit(f"{place.url}#{place.identity}", place.url, Kind.FILE, key=key, images=1, size=place.size)


def name_now(uri: str) -> str:
    """Name the unit that a shard or a single file is now: its place, and the identity of its bytes or its fault.

    Raises:
        StorageError: the store does not answer.
    """
    place = _look(uri)
    if isinstance(place, Unit):
        return place.name
    return f"{uri}#folder" if place is None else f"{place.url}#{place.identity}"


def _is_folder(text: str) -> bool:
    fs, path = storage.filesystem(text)
    try:
        return not text.startswith(("http://", "https://")) and bool(fs.isdir(path))
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot look at {text!r}: {fault_of(reason)[1]}") from reason


def _look(text: str) -> storage.Found | Unit | None:
    """Look at a file; one that is missing or forbidden is a unit with its fault, a folder is None.

    Raises:
        StorageError: the store does not answer.
    """
    fs, path = storage.filesystem(text)
    url = storage.absolute(text)
    try:
        info = patiently(lambda: fs.info(path), url)
        return None if info["type"] == "directory" else storage.found(fs, info)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        if status is Status.UNREACHABLE:
            raise StorageError(f"cannot look at {text!r}: {detail}") from reason
        return Unit(f"{url}#{status}", url, Kind.SHARD, key=posixpath.basename(url), images=1, fault=(status, detail))


def _look_at_all(texts: list[str]) -> Iterator[storage.Found | Unit]:
    """Look at many files in order: a folder of a store is listed once where it holds several of them."""
    folders = {posixpath.dirname(text) for text in texts}
    if len(texts) > MANY * len(folders) and not texts[0].startswith(("http://", "https://")):
        there = {place.url: place for folder in sorted(folders) for place in _siblings(folder)}
    else:
        there = {}
    with ThreadPoolExecutor(LOOKS) as lookers:
        places = lookers.map(lambda text: there.get(storage.absolute(text)) or _look(text), texts)
        for text, place in zip(texts, places, strict=True):
            if place is None:
                raise SettingsError(f"{text!r} is a folder; braces name shards, listings or images")
            yield place


def _siblings(folder: str) -> list[storage.Found]:
    fs, path = storage.filesystem(folder or ".")
    try:
        return [storage.found(fs, info) for info in fs.ls(path, detail=True) if info["type"] == "file"]
    except STORE_FAULTS:
        return []  # each file is then looked at alone, and says itself what is wrong
