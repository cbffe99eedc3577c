"""Differential reading: the same archives by this reader, `tarfile`, libarchive (which is bsdtar's) and webdataset."""

import bz2
import gzip
import io
import lzma
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from webdataset.tariterators import tar_file_iterator

from pipeline.scan.reading.archive import Member, members
from pipeline.scan.reading.compression import decompressed
from pipeline.scan.reading.tar_header import text
from tests.fuzzing.archives import Archive, archive

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

try:
    import libarchive
    from libarchive import ffi
except (ImportError, OSError, AttributeError, TypeError):  # the package, or the machine's library, is missing
    libarchive = None

CHOICES = {
    "second archive behind": "an archive behind another's end mark is read, as `tar --ignore-zeros` reads it",
    "lone zeros": "one block of zeros is half an end mark, and so none",
}
"""Features of which this reader finds files that all others leave out; it must find theirs too."""

Files = list[tuple[bytes, bytes]]
"""Raw names and contents, in order."""


def ours(data: bytes) -> list[tuple[str, bytes | None]]:
    """Read with this project's reader: names as the table has them."""
    stream, _ = decompressed(io.BytesIO(data))
    parts = members(stream, lambda name, length, head: True)
    return [(part.name, part.data) for part in parts if isinstance(part, Member) and not _is_symbolic(part)]


def _is_symbolic(part: Member) -> bool:
    return part.link is not None and not part.ranged


def by_tarfile(data: bytes) -> Files:
    """Read with the standard library, as far as it goes."""
    found: Files = []
    with suppress(tarfile.TarError, EOFError, OSError, ValueError), opened(unpacked(data)) as read:
        for facts in read:
            if not (facts.isreg() or facts.islnk() or facts.type not in tarfile.SUPPORTED_TYPES):
                continue
            with suppress(KeyError):
                body = read.extractfile(facts)
                found.append((facts.name.encode("utf-8", "surrogateescape"), b"" if body is None else body.read()))
    return found


def by_libarchive(data: bytes) -> Files:
    """Read with libarchive as bsdtar does, as far as it goes; a hard link without bytes has those of its target."""
    found: Files = []
    with suppress(libarchive.exception.ArchiveError), libarchive.memory_reader(data, "tar") as read:
        for one in _retried(read):
            name, target = ffi.entry_pathname(one._entry_p), ffi.entry_hardlink(one._entry_p)
            if not one.isreg and target is None:
                continue
            body = b"".join(one.get_blocks())
            if target is not None and not body:
                body = dict(found).get(target, b"")
            found.append((name, body))
    return found


def _retried(read: Any) -> Iterator[Any]:
    """Yield entries, and read on where libarchive asks for that."""
    entries = iter(read)
    while True:
        try:
            one = next(entries, None)
        except libarchive.exception.ArchiveError as reason:
            if reason.retcode != ffi.ARCHIVE_RETRY:
                raise
            entries = iter(read)
            continue
        if one is None:
            return
        yield one


def by_webdataset(data: bytes) -> Files:
    """Read with webdataset, as far as it goes; it reads no zstd."""
    found: Files = []
    with suppress(tarfile.TarError, EOFError, OSError, ValueError, KeyError, UnicodeError):
        for sample in tar_file_iterator(io.BytesIO(unpacked(data)), skip_meta=None):
            found.append((sample["fname"].encode("utf-8", "surrogateescape"), sample["data"]))
    return found


def unpacked(data: bytes) -> bytes:
    """Undo the compression, for readers that know not every one."""
    marks = (
        (b"\x1f\x8b", gzip.decompress),
        (b"BZh", bz2.decompress),
        (b"\xfd7zXZ", lzma.decompress),
        (b"\x28\xb5\x2f\xfd", zstd.decompress),
    )
    return next((undo(data) for mark, undo in marks if data.startswith(mark)), data)


def opened(data: bytes, mode: str = "r:") -> tarfile.TarFile:
    """Open an archive with the standard library."""
    return tarfile.open(fileobj=io.BytesIO(data), mode=mode, encoding="utf-8", errors="surrogateescape")  # type: ignore[call-overload, no-any-return]


READERS: dict[str, Callable[[bytes], Files]] = {"tarfile": by_tarfile, "webdataset": by_webdataset}
if libarchive is not None:
    READERS["libarchive"] = by_libarchive


@dataclass
class Comparison:
    """How archives were read.

    Attributes:
        archives: how many there were.
        agreed: how many all read alike.
        apart: by feature and reader, how many archives with no other feature that reader read otherwise than what is in them.
        broken: archives that this project's reader read otherwise than what is in them, or than all others read them.
    """

    archives: int = 0
    agreed: int = 0
    apart: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.archives:,} archives, {self.agreed:,} read alike by all; broken: {len(self.broken)}",
            *self.broken,
        ]
        lines += [f"  {feature or 'plain'}: {dict(readers)}" for feature, readers in sorted(self.apart.items())]
        return "\n".join(lines)


def compare_all(count: int, seed: int = 0) -> Comparison:
    """Read generated archives with every reader."""
    found = Comparison()
    for number in range(count):
        compare(archive(number, seed), f"archive {number} of seed {seed}", found)
    return found


def compare(made: Archive, name: str, found: Comparison) -> None:
    """Read one archive with every reader, and add what they do not agree on."""
    right = named(made.files)
    mine = ours(made.data)
    theirs = {reader: named(read(made.data)) for reader, read in READERS.items()}
    found.archives += 1
    found.agreed += all(files == mine for files in theirs.values())
    if mine != right:
        found.broken.append(f"{name} ({', '.join(made.features)}): {difference(mine, right)}")
    common = theirs["tarfile"]
    seen = mine[: len(common)] if CHOICES.keys() & set(made.features) else mine
    if all(files == common for files in theirs.values()) and seen != common:
        found.broken.append(f"{name} ({', '.join(made.features)}): all others agree: {difference(mine, common)}")
    if len(made.features) <= 1:
        for reader, files in theirs.items():
            if files != right:
                found.apart["".join(made.features)][reader] += 1


def named(files: Files) -> list[tuple[str, bytes | None]]:
    """Name files as the table does."""
    return [(text(name), body) for name, body in files]


def difference(one: list[tuple[str, bytes | None]], other: list[tuple[str, bytes | None]]) -> str:
    """Tell the first place at which two lists of files differ."""
    at = next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )
    shown = [repr(files[at])[:80] if at < len(files) else "nothing" for files in (one, other)]
    return f"{len(one)} and {len(other)} files, at {at} {shown[0]} and not {shown[1]}"
