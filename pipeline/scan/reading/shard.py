"""WebDataset shard: groups members that share a key into samples, and tells which members are images."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.images.extension import is_image
from pipeline.scan.reading.archive import ArchiveFault, Member, SkippedEntry, members
from pipeline.scan.reading.compression import Readable
from pipeline.scan.reading.member_types import has_image_signature, is_system_file
from pipeline.storage import storage

SHARD_NAME = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|tar\.zst|tzst)$", re.IGNORECASE)
MAX_TEXT_BYTES = 1 << 20
MAX_IMAGES, MAX_HELD_BYTES = 64, 64 << 20
"""Maximum images, and bytes of images, of a sample in memory; the rest is another part with the same metadata."""
MAX_OTHERS, MAX_METADATA_BYTES = 1 << 16, 64 << 20
"""Maximum other members of a sample, and bytes of its metadata; what is beyond is not read."""


@dataclass
class Sample:
    """Consecutive members that share a key.

    Attributes:
        key: the members' path up to the first dot of the file name.
        members: by extension (what follows that dot, in lower case), in the archive's order.
        pictures: the extensions of those that are images.
        part: whether it is one of several parts of a sample with too many images.
        size: bytes of its images.
        described: bytes of its metadata.
    """

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    part: bool = False
    size: int = 0
    described: int = 0

    def add(self, extension: str, member: Member, *, picture: bool) -> None:
        """Add a member; one that is no image only within the limits."""
        if picture:
            self.pictures.append(extension)
            self.size += member.length
        else:
            self.described += len(member.data or b"")
            if len(self.members) - len(self.pictures) >= MAX_OTHERS or self.described > MAX_METADATA_BYTES:
                return
        self.members[extension] = member

    def is_full(self, length: int) -> bool:
        """Tell whether another image of that length exceeds the limits."""
        return len(self.pictures) >= MAX_IMAGES or (bool(self.pictures) and self.size + length > MAX_HELD_BYTES)

    def rest(self) -> "Sample":
        """Begin the next part of a sample that is full."""
        self.part = True
        others = {extension: member for extension, member in self.members.items() if extension not in self.pictures}
        return Sample(self.key, others, part=True, described=self.described)

    def images(self) -> Iterator[tuple[str, str, Member]]:
        """Yield each image: its key, its extension, and its member.

        A sample's only image has the sample's key; of several images each has its member's name.
        """
        several = self.part or len(self.pictures) > 1
        for extension in self.pictures:
            member = self.members[extension]
            yield member.name if several else self.key, extension, member

    def metadata(self, names: tuple[str, ...], extension: str = "") -> dict[str, str | None]:
        """Read metadata columns of one of the images.

        Args:
            names: the columns.
            extension: the image's; for `left.png` the member `left.json` has precedence over the sample's `json`.

        Returns:
            Each column from a JSON member, else from a text member whose extension is the column's name.
        """
        prefix = extension.rpartition(".")[0]
        begins = [f"{prefix}.", ""] if prefix else [""]
        fields: dict[str, Any] = {}
        for begin in reversed(begins):
            fields |= self._record(f"{begin}json")
        texts = {name: self._text([f"{begin}{name.lower()}" for begin in begins]) for name in names}
        return {name: as_text(fields[name]) if name in fields else texts[name] for name in names}

    def _record(self, extension: str) -> dict[str, Any]:
        described = self.members.get(extension)
        if described is None or not described.data:
            return {}
        try:
            record = json.loads(described.data)
        except (ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}

    def _text(self, extensions: list[str]) -> str | None:
        found = (self.members[extension].data for extension in extensions if extension in self.members)
        return next((data.decode("utf-8", "replace") for data in found if data is not None), None)


def is_shard(url: str) -> bool:
    """Tell by its extension whether a file is a shard."""
    return SHARD_NAME.search(storage.without_query(url)) is not None


def as_text(value: object) -> str | None:
    """Convert a carried value to text: bytes as UTF-8 or else base64, other values as JSON, null as null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return b64encode(value).decode("ascii")
    return json.dumps(value, default=_plain)


def _plain(value: object) -> str:
    return str(as_text(value) if isinstance(value, bytes) else value)


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name into its sample's key and its extension, at the first dot of the file name.

    A leading dot belongs to the key, and a name without a dot has no extension. webdataset skips such members; here
    they are samples too, so that no image is lost.
    """
    folder, slash, base = name.rpartition("/")
    dot = base.find(".", 1)
    if dot < 0:
        return name, ""
    return f"{folder}{slash}{base[:dot]}", base[dot + 1 :].lower()


class _MemberFilter:
    """Tells which members are images, and whose bytes are kept.

    Args:
        image_member: the only extension that is an image; None for any image's extension or signature.
        carry: columns to read from the samples' metadata.
        max_bytes: a larger image is not read.
    """

    def __init__(self, image_member: str | None, carry: tuple[str, ...], max_bytes: int) -> None:
        self._image_member = image_member
        self._carry = {name.lower() for name in carry}
        self._max_bytes = max_bytes
        self.has_signature = False

    def keep(self, name: str, length: int, head: Callable[[], bytes]) -> bool:
        """Tell whether a member's bytes are kept."""
        extension = split_name(name)[1]
        self.has_signature = not self.is_named(name) and self._image_member is None and has_image_signature(head())
        if self.has_signature or self.is_named(name):
            return length <= self._max_bytes
        last = extension.rpartition(".")[2]
        described = bool(self._carry) and (last == "json" or not self._carry.isdisjoint((extension, last)))
        return described and length <= MAX_TEXT_BYTES

    def is_named(self, name: str) -> bool:
        """Tell by its name whether a member is an image."""
        extension = split_name(name)[1]
        if self._image_member is not None:
            return extension == self._image_member
        return is_image(extension) and not is_system_file(name)

    def is_picture(self, member: Member) -> bool:
        """Tell whether the last member is an image; a link is judged by the bytes of its target."""
        if member.link is None:
            return self.has_signature or self.is_named(member.name)
        return self.is_named(member.name) or (self._image_member is None and has_image_signature(member.data or b""))


def samples(
    stream: Readable, *, image_member: str | None, carry: tuple[str, ...], max_bytes: int
) -> Iterator[Sample | ArchiveFault | SkippedEntry]:
    """Group an archive's members into samples.

    Args:
        stream: the archive, decompressed.
        image_member: the only extension that is an image; None for any image's extension or signature.
        carry: columns to read from the samples' metadata.
        max_bytes: a larger image is not read.

    Yields:
        Each sample once its last member was read, each fault of the archive, and each skipped entry. A member whose
        extension its sample already has begins a new sample.

    Raises:
        OSError: the store failed.
    """
    filter_ = _MemberFilter(image_member, carry, max_bytes)
    sample: Sample | None = None
    for member in members(stream, filter_.keep):
        if isinstance(member, ArchiveFault | SkippedEntry):
            yield member
            continue
        picture = filter_.is_picture(member)
        if not picture and is_system_file(member.name):
            yield SkippedEntry(member.name, "system file")
            continue
        key, extension = split_name(member.name)
        if sample is None or sample.key != key or extension in sample.members:
            if sample is not None:
                yield sample
            sample = Sample(key)
        elif picture and sample.is_full(member.length):
            full, sample = sample, sample.rest()
            yield full
        sample.add(extension, member, picture=picture)
    if sample is not None:
        yield sample
