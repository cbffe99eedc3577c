"""Source: turns `--source` into units: shards, globs and braces, folders, listings, inventories, images."""

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
from pipeline.scan.reading import inventory, listing
from pipeline.scan.reading.parquet_file import DamagedFileError
from pipeline.scan.reading.shard import is_shard
from pipeline.scan.reading.skipped_files import SkippedFiles
from pipeline.scan.reading.table_folder import TableFolder
from pipeline.scan.reading.unit import Kind, Unit, part_of
from pipeline.scan.reading.unit_lookup import file_unit, look_up_all, name_of
from pipeline.storage import storage
from pipeline.storage.access_policy import Trust, access_policy_of, trust
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.storage.file_info import FileInfo
from pipeline.storage.folder import UNREADABLE, entries, is_hidden
from pipeline.storage.retry import is_web, with_retries

SCAN_OUTPUT = r"(model=[^/]*/|_(runs|rescans|known)/|(_lease\.json|report\.html|suspicious\.csv)/)"
"""What a scan and its page write into the output, where that is the source folder itself."""
MATCHES_NOTHING = re.compile(r"(?!)")
OWNER = "; the store's owner must grant these credentials access"


@dataclass
class Source:
    """The units of a scan, and the files that were skipped.

    Attributes:
        texts: what the user named.
        all_files: whether every file of a folder is tried as an image, whatever its name.
        image_member: the only member of a shard, or column of a Parquet file, that holds images; None for all that do.
        output: where the scan writes; files there are not part of the source.
        trusted: which listings may name any place.
        columns: of the listings, as far as they are known before reading.
        has_unknown_columns: whether there are units whose columns are unknown before reading.
        skipped_files: counts of skipped files, complete once the units were iterated.
    """

    texts: list[str]
    all_files: bool = False
    image_member: str | None = None
    output: str | None = None
    trusted: Trust = field(default_factory=trust)
    columns: set[str] = field(default_factory=set, init=False)
    has_unknown_columns: bool = field(default=False, init=False)
    skipped_files: SkippedFiles = field(default_factory=SkippedFiles, init=False)

    @property
    def skipped(self) -> int:
        """Files skipped because of their extension."""
        return self.skipped_files.skipped

    @property
    def shards_skipped(self) -> int:
        """How many of those are shards."""
        return self.skipped_files.shards

    @property
    def hidden(self) -> int:
        """Files and folders skipped because their name begins with a dot."""
        return self.skipped_files.hidden

    def units(self) -> Iterator[Unit]:
        """Yield every unit, in the order in which the sources were named, each once.

        Raises:
            SettingsError: a source cannot be scanned; all missing sources are named in one message.
            StorageError: a store cannot be listed.
        """
        seen: set[str] = set()
        self.skipped_files = SkippedFiles()
        for units in self._sources():
            for unit in units:
                if unit.name not in seen:
                    seen.add(unit.name)
                    yield unit

    def require_images(self) -> None:
        """Insist that the source exists, and has something to scan.

        Raises:
            SettingsError: it does not exist, or has nothing to scan.
            StorageError: a store cannot be listed.
        """
        next(self.units(), None)

    def _sources(self) -> list[Iterator[Unit]]:
        """Look up everything that is named before any of it is read."""
        found, refused = [], []
        for text in self.texts:
            try:
                found.append(self._look_up(text))
            except SettingsError as reason:
                refused.append(str(reason))
        if refused:
            raise SettingsError("\n".join(refused))
        return found

    def _look_up(self, text: str) -> Iterator[Unit]:
        try:
            place = storage.info(text)
        except STORE_FAULTS as reason:
            status, detail = fault_of(reason)
            if status is Status.UNREACHABLE:
                raise StorageError(f"cannot look up {text!r}: {detail}") from reason
            if status is Status.MISSING and ("{" in text or _is_glob(text)):
                return self._pattern(text)
            raise _refused(text, status, detail) from reason
        except ValueError as reason:
            raise SettingsError(f"--source {text!r}: {reason}") from reason
        if place is None:
            return self._not_empty(text, self._folder(text))
        if place.fault is not None:
            raise _refused(text, *place.fault)
        return self._named(text, place)

    def _named(self, text: str, place: FileInfo) -> Iterator[Unit]:
        """Turn a source that is one file into units; a damaged file and an empty listing are refused."""
        is_empty = listing.form_of(place.url) is not None and not inventory.is_inventory(
            storage.without_query(place.url)
        )
        try:
            for unit in self._open(place):
                is_empty = False
                yield unit
        except DamagedFileError as reason:
            raise SettingsError(f"--source {text!r}: {reason}") from reason
        if is_empty:
            raise SettingsError(f"--source {text!r}: the listing has no rows")

    def _not_empty(self, text: str, units: Iterator[Unit]) -> Iterator[Unit]:
        """Insist that a folder or a glob has an image; the error describes what was skipped."""
        before, is_empty, self.skipped_files = self.skipped_files, True, SkippedFiles()
        for unit in units:
            is_empty = False
            yield unit
        own = self.skipped_files
        self.skipped_files = SkippedFiles(
            before.skipped + own.skipped, before.shards + own.shards, before.hidden + own.hidden, before.shard
        )
        if is_empty:
            raise SettingsError(f"--source {text!r}: no image to scan; {own.describe()}")

    def _pattern(self, pattern: str) -> Iterator[Unit]:
        """Expand braces, then globs; a missing file of a brace pattern is a unit with its fault.

        Raises:
            SettingsError: none of the files exists, so the pattern must be wrong.
        """
        try:
            texts = list(braceexpand(pattern))
        except ValueError as reason:
            raise SettingsError(f"--source {pattern!r}: {reason}") from reason
        globs = [text for text in texts if _is_glob(text)]
        places = list(look_up_all([text for text in texts if not _is_glob(text)]))
        if places and not globs and all(isinstance(place, Unit) for place in places):
            first = next(place.fault[1] for place in places if isinstance(place, Unit) and place.fault)
            raise SettingsError(f"--source {pattern!r}: none of its {len(places):,} files can be read: {first}")
        return self._expanded(places, globs)

    def _expanded(self, places: list[FileInfo | Unit], globs: list[str]) -> Iterator[Unit]:
        for place in places:
            if isinstance(place, Unit):
                yield place
            else:
                yield from self._try(place)
        for text in globs:
            yield from self._not_empty(text, self._glob(text))

    def _glob(self, text: str) -> Iterator[Unit]:
        fs, path = storage.filesystem(text)
        try:
            places = with_retries(lambda: fs.glob(path, detail=True), text)
        except STORE_FAULTS as reason:
            raise StorageError(f"cannot list {text!r}: {fault_of(reason)[1]}") from reason
        if not places:
            raise SettingsError(f"--source {text!r}: no file matches the pattern")
        start = path[: _first_special(path)].rfind("/") + 1
        asked = self.all_files or any(map(is_hidden, path[start:].split("/")))
        own = self._own(storage.url_of(fs, path[:start]))
        for name in sorted(places):
            if own.match(f"{storage.url_of(fs, name)}/"):
                continue
            if not asked and any(map(is_hidden, name[start:].split("/"))):
                self.skipped_files.hidden += 1
            elif places[name]["type"] == "directory":
                yield from self._folder(storage.url_of(fs, name))
            else:
                yield from self._try(storage.file_info(fs, places[name]))

    def _try(self, place: FileInfo) -> Iterator[Unit]:
        """Turn one file of several into units; a damaged file is a unit with its fault."""
        try:
            yield from self._open(place)
        except DamagedFileError as reason:
            fault = (Status.TORN_ARCHIVE, str(reason))
            yield replace(file_unit(place, posixpath.basename(storage.without_query(place.url))), fault=fault)

    def _open(self, place: FileInfo) -> Iterator[Unit]:
        """Turn one file into units, by its extension."""
        name, ending = name_of(place), storage.without_query(place.url)
        if is_shard(ending):
            self.has_unknown_columns = True
            if place.fault is None:
                yield Unit(part_of(name, member=self.image_member), place.url, Kind.SHARD, size=place.size)
            else:
                yield file_unit(place, posixpath.basename(ending))
        elif place.fault is None and inventory.is_inventory(ending):
            try:
                yield from inventory.units(place.url, self._skip)
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
                f"--source {place.url!r}: not named like a shard (.tar), a listing ({', '.join(listing.FORMS)}) "
                "or an image; use --all-files to try it as an image"
            )

    def _listing(self, name: str, url: str) -> Iterator[Unit]:
        """Split a listing into slices; each shard of a listing of shards is a unit of its own."""
        named = listing.shards(url)
        if named is None:
            for piece in listing.slices(url, self.image_member):
                self.columns |= listing.columns_of(url, piece)
                self.has_unknown_columns |= not piece.columns
                yield listing.unit(name, url, piece)
            return
        for shard in look_up_all(named, access_policy_of(url, self.trusted)):
            for unit in [shard] if isinstance(shard, Unit) else self._open(shard):
                yield replace(unit, listing=url)

    def _skip(self, count: int) -> None:
        self.skipped_files.skipped += count

    def _own(self, place: str) -> re.Pattern[str]:
        """Make the pattern of URLs that the scan itself writes below a folder, or into it."""
        top = f"{place.rstrip('/')}/"
        output = top if self.output is None else f"{storage.absolute(self.output).rstrip('/')}/"
        if self.output is None or not output.startswith(top):
            return MATCHES_NOTHING
        return re.compile(re.escape(output) + (SCAN_OUTPUT if output == top else ""))

    def _folder(self, text: str) -> Iterator[Unit]:
        tables, images = TableFolder(storage.absolute(text).rstrip("/")), False
        own = self._own(storage.absolute(text))
        for place in entries(text, hidden=self.all_files, without=self.output):
            if own.match(f"{place.url}/") or tables.add(place):
                continue
            if is_hidden(place.key) and not self.all_files:
                self.skipped_files.hidden += 1
            elif is_image(place.key.rstrip("/")) or self.all_files or place.identity == UNREADABLE:
                images = True
                yield file_unit(place, place.key)
            else:
                self.skipped_files.skipped += 1
                if is_shard(place.url):
                    self.skipped_files.shards += 1
                    self.skipped_files.shard = self.skipped_files.shard or place.url
        if images and not tables.named:
            self.skipped_files.skipped += len(tables.found)
            return
        for place in tables.parts():
            yield from self._try(place)


def _refused(text: str, status: Status, detail: str) -> SettingsError:
    detail += OWNER if status is Status.FORBIDDEN else ""
    return SettingsError(f"--source {text!r}: {detail}; name a shard, a folder, a listing or an image")


def _is_glob(text: str) -> bool:
    """Tell whether a name is a glob; of an HTTP URL only `*` and `[` in its path count, since `?` begins the query."""
    if is_web(text):
        path = urlsplit(text).path
        return "*" in path or "[" in path
    return glob.has_magic(text)


def _first_special(pattern: str) -> int:
    return min(pattern.find(sign) % (len(pattern) + 1) for sign in "*?[")
