"""A WebDataset shard as samples: members that share a key, and which of them is the image."""

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from pipeline import storage
from pipeline.extension import IMAGE_EXTENSIONS, is_image
from pipeline.scan.reading.archive import Member, Tear, members

SHARD_NAME = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
COMPRESSED_NAME = re.compile(r"\.(tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
LONGEST_TEXT = 1 << 20


@dataclass
class Sample:
    """Consecutive members that share a key.

    Attributes:
        key: the members' name up to its first dot, folders kept.
        members: by extension (what follows the first dot, in small letters), in the archive's order.
    """

    key: str
    members: dict[str, Member] = field(default_factory=dict)

    def image(self, extension: str | None) -> Member | None:
        """Choose the image: the named extension, else the first plain image extension, else the first compound one."""
        if extension is not None:
            return self.members.get(extension)
        plain = (member for suffix, member in self.members.items() if suffix in IMAGE_EXTENSIONS)
        compound = (member for suffix, member in self.members.items() if is_image(suffix))
        return next(plain, None) or next(compound, None)

    def metadata(self, names: tuple[str, ...]) -> dict[str, str | None]:
        """Read columns from the sample's JSON member, else from a text member whose extension is the column's name."""
        record: object = {}
        described = self.members.get("json")
        if described is not None and described.data:
            try:
                record = json.loads(described.data)
            except ValueError:
                record = {}
        fields = record if isinstance(record, dict) else {}
        return {name: as_text(fields[name]) if name in fields else self._text(name) for name in names}

    def _text(self, extension: str) -> str | None:
        member = self.members.get(extension.lower())
        return None if member is None or member.data is None else member.data.decode("utf-8", "replace")


def is_shard(url: str) -> bool:
    """Tell by the end of its name whether a file is a shard."""
    return SHARD_NAME.search(storage.file_name(url)) is not None


def as_text(value: object) -> str | None:
    """Write a carried value: text as it is, null as null, anything else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)


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


def decompressed(stream: BinaryIO, uri: str) -> BinaryIO:
    """Open a shard's stream by the end of its name."""
    lowered = uri.lower()
    if lowered.endswith((".tar.gz", ".tgz")):
        return cast(BinaryIO, gzip.open(stream))
    if lowered.endswith(".tar.bz2"):
        return cast(BinaryIO, bz2.open(stream))
    if lowered.endswith(".tar.xz"):
        return cast(BinaryIO, lzma.open(stream))
    return stream


def samples(
    stream: BinaryIO, *, image_member: str | None, carry: tuple[str, ...], max_bytes: int
) -> Iterator[Sample | Tear]:
    """Group an archive's members into samples.

    Args:
        stream: the archive, decompressed.
        image_member: the extension whose bytes are wanted whatever it is; None for every image extension.
        carry: columns wanted from the samples' metadata.
        max_bytes: an image above this is not read.

    Yields:
        Each sample once its last member is there, and each tear. A member whose extension its sample already has
        begins a sample of its own.

    Raises:
        OSError: the store failed.
    """

    def wanted(name: str, length: int) -> bool:
        extension = split_name(name)[1]
        if extension == image_member if image_member is not None else is_image(extension):
            return length <= max_bytes
        described = bool(carry) and (extension == "json" or extension in carry)
        return described and length <= LONGEST_TEXT

    sample: Sample | None = None
    for member in members(stream, wanted):
        if isinstance(member, Tear):
            yield member
            continue
        if member.name.startswith("__") and member.name.endswith("__"):
            continue  # webdataset's own notes on a shard
        key, extension = split_name(member.name)
        if sample is None or sample.key != key or extension in sample.members:
            if sample is not None:
                yield sample
            sample = Sample(key)
        sample.members[extension] = member
    if sample is not None:
        yield sample
