"""A WebDataset shard as samples: members that share a key, and which of them are images."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.images.extension import is_image
from pipeline.scan.reading.archive import Member, Passed, Tear, members
from pipeline.scan.reading.compression import Readable
from pipeline.scan.reading.member_types import begins_as_image, is_clutter
from pipeline.storage import storage

SHARD_NAME = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|tar\.zst|tzst)$", re.IGNORECASE)
LONGEST_TEXT = 1 << 20
MOST_IMAGES, MOST_HELD = 64, 64 << 20
"""Images, and bytes of them, that are held of a sample; what follows is another part of it, with the same metadata."""


@dataclass
class Sample:
    """Consecutive members that share a key.

    Attributes:
        key: the members' name up to its first dot, folders kept.
        members: by extension (what follows the first dot, in small letters), in the archive's order.
        pictures: the extensions of those that are images.
        part: whether it is one of several parts of a sample with too many images.
        size: bytes of its images.
    """

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    part: bool = False
    size: int = 0

    def add(self, extension: str, member: Member, *, picture: bool) -> None:
        """Take a member in."""
        self.members[extension] = member
        if picture:
            self.pictures.append(extension)
            self.size += member.length

    def is_full(self, length: int) -> bool:
        """Tell whether another image of that length is too much."""
        return len(self.pictures) >= MOST_IMAGES or (bool(self.pictures) and self.size + length > MOST_HELD)

    def rest(self) -> "Sample":
        """Begin the next part of a sample that is full."""
        self.part = True
        others = {extension: member for extension, member in self.members.items() if extension not in self.pictures}
        return Sample(self.key, others, part=True)

    def images(self) -> Iterator[tuple[str, str, Member]]:
        """Yield each image: its key, its extension, and its member.

        The only image of a sample has the sample's key, of several each has its own name.
        """
        several = self.part or len(self.pictures) > 1
        for extension in self.pictures:
            member = self.members[extension]
            yield member.name if several else self.key, extension, member

    def metadata(self, names: tuple[str, ...], extension: str = "") -> dict[str, str | None]:
        """Read columns for one of the images.

        Args:
            names: the columns.
            extension: the image's; of `left.png` the member `left.json` speaks first, then the sample's `json`.

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
    """Tell by the end of its name whether a file is a shard."""
    return SHARD_NAME.search(storage.file_name(url)) is not None


def as_text(value: object) -> str | None:
    """Write a carried value: text as it is, null as null, bytes as UTF-8 or else as base64, anything else as JSON."""
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
    """Split a member's name into its sample's key and its extension, at the first dot behind the folders.

    A name that begins with a dot keeps it in the key, and a name without a dot has no extension: webdataset passes
    such members over, here they are samples too, for no image may be lost.
    """
    folder, slash, base = name.rpartition("/")
    dot = base.find(".", 1)
    if dot < 0:
        return name, ""
    return f"{folder}{slash}{base[:dot]}", base[dot + 1 :].lower()


class _Chooser:
    """Says of each member what it is, and whether its bytes are kept.

    Args:
        image_member: the only extension that is an image; None for what is named or begins as one.
        carry: columns wanted from the samples' metadata.
        max_bytes: an image above this is not read.
    """

    def __init__(self, image_member: str | None, carry: tuple[str, ...], max_bytes: int) -> None:
        self._image_member = image_member
        self._carry = {name.lower() for name in carry}
        self._max_bytes = max_bytes
        self.begins = False

    def wanted(self, name: str, length: int, head: Callable[[], bytes]) -> bool:
        """Tell whether a member's bytes are kept."""
        extension = split_name(name)[1]
        self.begins = not self.is_named(name) and self._image_member is None and begins_as_image(head())
        if self.begins or self.is_named(name):
            return length <= self._max_bytes
        last = extension.rpartition(".")[2]
        described = bool(self._carry) and (last == "json" or not self._carry.isdisjoint((extension, last)))
        return described and length <= LONGEST_TEXT

    def is_named(self, name: str) -> bool:
        """Tell by its name whether a member is an image."""
        extension = split_name(name)[1]
        if self._image_member is not None:
            return extension == self._image_member
        return is_image(extension) and not is_clutter(name)

    def is_picture(self, member: Member) -> bool:
        """Tell whether the member that came last is an image; a link is asked for the bytes that it has."""
        if member.link is None:
            return self.begins or self.is_named(member.name)
        return self.is_named(member.name) or (self._image_member is None and begins_as_image(member.data or b""))


def samples(
    stream: Readable, *, image_member: str | None, carry: tuple[str, ...], max_bytes: int
) -> Iterator[Sample | Tear | Passed]:
    """Group an archive's members into samples.

    Args:
        stream: the archive, decompressed.
        image_member: the only extension that is an image; None for every member that is named or begins as one.
        carry: columns wanted from the samples' metadata.
        max_bytes: an image above this is not read.

    Yields:
        Each sample once its last member is there, each tear, and what is passed over. A member whose extension its
        sample already has begins a sample of its own.

    Raises:
        OSError: the store failed.
    """
    chooser = _Chooser(image_member, carry, max_bytes)
    sample: Sample | None = None
    for member in members(stream, chooser.wanted):
        if isinstance(member, Tear | Passed):
            yield member
            continue
        picture = chooser.is_picture(member)
        if not picture and is_clutter(member.name):
            yield Passed(member.name, "clutter")
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
