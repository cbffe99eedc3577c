"""Source: what `--source` names, as units: shards, globs and braces of them, folders, listings, inventories, images."""

import glob
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from braceexpand import braceexpand

from mole.errors import SettingsError, StorageError
from pipeline.images.extension import is_image
from pipeline.records import Status
from pipeline.scan.reading import inventory, listing, parts
from pipeline.scan.reading.lookup import file_unit, look_at_all, name_of
from pipeline.scan.reading.passed import Passed
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.torn import TornError
from pipeline.scan.reading.unit import Kind, Unit, part_of
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.file_info import FileInfo
from pipeline.storage.folder import UNREADABLE, entries, is_hidden
from pipeline.storage.retry import is_web, with_retries

OWN = r"(model=[^/]*/|_(runs|rescans|known)/|_lease\.json/)"
"""What a scan writes right into its output, where that is the source folder itself."""
NOTHING = re.compile(r"(?!)")
OWNER = "; who owns the store must allow it to these credentials"


@dataclass
class Source:
    """The units of a scan, and the files that were passed over.

    Attributes:
        texts: what the user named.
        all_files: try every file of a folder, whatever its name.
        image_member: the only member of a shard, or column of a Parquet file, that holds images; None for all that do.
        output: where the scan writes; what lies there is no part of a folder or a pattern around it.
        columns: of the listings, as far as they show before they are read.
        untold: whether there are units whose columns show when they are read.
        passed: what was passed over, counted while the units are read.
    """

    texts: list[str]
    all_files: bool = False
    image_member: str | None = None
    output: str | None = None
    columns: set[str] = field(default_factory=set, init=False)
    untold: bool = field(default=False, init=False)
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

    def demand(self) -> None:
        """Insist that what is named is there, and has something to scan.

        Raises:
            SettingsError: it is not, or has nothing.
            StorageError: a store cannot be listed.
        """
        next(self.units(), None)

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
            place = storage.info(text)
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
        return self._named(text, place)

    def _named(self, text: str, place: FileInfo) -> Iterator[Unit]:
        """Turn the one file that a source names into units; a damaged one is refused, and a listing without a row."""
        none = listing.form_of(place.url) is not None and not inventory.is_inventory(storage.file_name(place.url))
        try:
            for unit in self._open(place):
                none = False
                yield unit
        except TornError as torn:
            raise SettingsError(f"--source {text!r}: {torn}") from torn
        if none:
            raise SettingsError(f"--source {text!r}: the listing has no rows")

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
        places = list(look_at_all([text for text in texts if not _is_glob(text)]))
        if places and not globs and all(isinstance(place, Unit) for place in places):
            reasons = {place.fault[1]: None for place in places if isinstance(place, Unit) and place.fault}
            first = next(iter(reasons))
            raise SettingsError(f"--source {pattern!r}: none of the {len(places):,} files that it names: {first}")
        return self._expanded(places, globs)

    def _expanded(self, places: list[FileInfo | Unit], globs: list[str]) -> Iterator[Unit]:
        for place in places:
            if isinstance(place, Unit):
                yield place
            else:
                yield from self._try(place)
        for text in globs:
            yield from self._some(text, self._glob(text))

    def _glob(self, text: str) -> Iterator[Unit]:
        fs, path = storage.filesystem(text)
        try:
            places = with_retries(lambda: fs.glob(path, detail=True), text)
        except STORE_FAULTS as reason:
            raise StorageError(f"cannot list {text!r}: {fault_of(reason)[1]}") from reason
        if not places:
            raise SettingsError(f"--source {text!r}: no file there has such a name")
        start = path[: _first_sign(path)].rfind("/") + 1
        asked = self.all_files or any(map(is_hidden, path[start:].split("/")))
        own = self._own(storage.url_of(fs, path[:start]))
        for name in sorted(places):
            if own.match(f"{storage.url_of(fs, name)}/"):
                continue
            if not asked and any(map(is_hidden, name[start:].split("/"))):
                self.passed.hidden += 1
            elif places[name]["type"] == "directory":
                yield from self._folder(storage.url_of(fs, name))
            else:
                yield from self._try(storage.file_info(fs, places[name]))

    def _try(self, place: FileInfo) -> Iterator[Unit]:
        """Turn one file of several into units; a damaged one is a unit that says so."""
        try:
            yield from self._open(place)
        except TornError as reason:
            fault = (Status.TORN_ARCHIVE, str(reason))
            yield replace(file_unit(place, posixpath.basename(storage.file_name(place.url))), fault=fault)

    def _open(self, place: FileInfo) -> Iterator[Unit]:
        """Turn one file that was named into units, by the end of its name."""
        name, ending = name_of(place), storage.file_name(place.url)
        if is_shard(ending):
            self.untold = True
            if place.fault is None:
                yield Unit(part_of(name, member=self.image_member), place.url, Kind.SHARD, size=place.size)
            else:
                yield file_unit(place, posixpath.basename(ending))
        elif place.fault is None and inventory.is_inventory(ending):
            try:
                yield from inventory.units(place.url, self._pass_over)
            except STORE_FAULTS as reason:
                raise StorageError(f"cannot read the inventory {place.url!r}: {fault_of(reason)[1]}") from reason
        elif place.fault is None and listing.form_of(ending) is not None:
            try:
                yield from self._listing(name, place.url)
            except STORE_FAULTS as reason:
                raise StorageError(f"cannot read the listing {place.url!r}: {reason}") from reason
        elif is_image(ending) or self.all_files:
            yield file_unit(place, posixpath.basename(ending))
        else:
            raise SettingsError(
                f"--source {place.url!r}: not the name of a shard (.tar), a listing ({', '.join(listing.FORMS)}) "
                "or an image; --all-files tries it as an image"
            )

    def _listing(self, name: str, url: str) -> Iterator[Unit]:
        """Cut a listing into slices; each shard of a listing of shards is a unit of its own."""
        named = listing.shards(url)
        if named is None:
            for piece in listing.slices(url, self.image_member):
                self.columns |= listing.columns_of(url, piece)
                self.untold |= not piece.columns
                yield listing.unit(name, url, piece)
            return
        for shard in look_at_all(named):
            yield from [shard] if isinstance(shard, Unit) else self._open(shard)

    def _pass_over(self, count: int) -> None:
        self.passed.skipped += count

    def _own(self, place: str) -> re.Pattern[str]:
        """Write how the URL of what the scan itself writes begins, where that lies below a place or is the place."""
        top = f"{place.rstrip('/')}/"
        output = top if self.output is None else f"{storage.absolute(self.output).rstrip('/')}/"
        if self.output is None or not output.startswith(top):
            return NOTHING
        return re.compile(re.escape(output) + (OWN if output == top else ""))

    def _folder(self, text: str) -> Iterator[Unit]:
        tables, images = parts.Parts(storage.absolute(text).rstrip("/")), False
        own = self._own(storage.absolute(text))
        for place in entries(text, hidden=self.all_files, without=self.output):
            if own.match(f"{place.url}/") or tables.take(place):
                continue
            if is_hidden(place.key) and not self.all_files:
                self.passed.hidden += 1
            elif is_image(place.key.rstrip("/")) or self.all_files or place.identity == UNREADABLE:
                images = True
                yield file_unit(place, place.key)
            else:
                self.passed.skipped += 1
                if is_shard(place.url):
                    self.passed.shards += 1
                    self.passed.shard = self.passed.shard or place.url
        if images and not tables.named:
            self.passed.skipped += len(tables.found)
            return
        for place in tables.whole():
            yield from self._try(place)


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
