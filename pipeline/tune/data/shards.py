"""Shards: WebDataset archives whose samples have a label, in `.cls` or in `.json`."""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import fsspec

from mole.errors import SettingsError, StorageError
from pipeline.images.extension import is_image
from pipeline.storage import storage
from pipeline.tune.data.label_words import Words, parse_label
from pipeline.tune.data.samples import Sample, sample_of
from pipeline.tune.data.source_options import DEFAULT_OPTIONS

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
PARALLEL_READS = 8
MAX_NOTE_BYTES = 1 << 20
NOTE_EXTENSIONS = ("cls", "json")
Members = dict[str, tarfile.TarInfo]


def is_shard(url: str) -> bool:
    """Return whether a URL has the name of a tar, compressed or not."""
    return url.lower().endswith((".tar", *PACKED))


def read(urls: list[str], known: Words) -> tuple[str, list[Sample], Counter[str]]:
    """Read samples from the images in shards; each image is later read by its byte range.

    Args:
        urls: uncompressed tars.
        known: meaning of the values of a label.

    Returns:
        A description of the layout, the samples, and the reasons why members were skipped.

    Raises:
        SettingsError: a shard is compressed, so that images cannot be read by range, or has an unknown label.
        StorageError: the store failed.
    """
    packed = next((url for url in urls if url.lower().endswith(PACKED)), None)
    if packed is not None:
        raise SettingsError(f"shard {packed!r} is compressed, so no image in it can be read alone; unpack it to a .tar")
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        read_all = list(pool.map(lambda url: _read_one(url, known), urls))
    skipped: Counter[str] = sum((skipped for _, skipped in read_all), Counter())
    return f"{len(urls):,} labelled WebDataset shards", [sample for own, _ in read_all for sample in own], skipped


def _read_one(url: str, known: Words) -> tuple[list[Sample], Counter[str]]:
    """Read one shard's headers and metadata members.

    Raises:
        StorageError: the store failed.
    """
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    fs, path = storage.filesystem(url)
    try:
        with fs.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for members in _grouped(archive):
                reason = _add(samples, members, archive, url, known)
                skipped.update([reason] if reason else [])
            if not _ended(stream, archive.offset):
                skipped["torn archive"] += 1
    except tarfile.TarError:
        skipped["torn archive"] += 1
    except OSError as reason:
        raise StorageError(f"shard {url!r} cannot be read: {reason}") from reason
    return samples, skipped


def _grouped(archive: tarfile.TarFile) -> Iterator[Members]:
    """Yield consecutive members that share a key, by their extension."""
    key, members = None, Members()
    for member in archive:
        if not member.isfile():
            continue
        folder, _, base = member.name.rpartition("/")
        stem, _, extension = base.partition(".")
        if (folder, stem) != key and members:
            yield members
            members = Members()
        key = (folder, stem)
        members[extension.lower()] = member
    if members:
        yield members


def _add(samples: list[Sample], members: Members, archive: tarfile.TarFile, url: str, known: Words) -> str | None:
    """Add one sample, or return why it is skipped.

    Raises:
        SettingsError: its label is unknown.
    """
    image = next((member for extension, member in members.items() if is_image(f".{extension}")), None)
    if image is None:
        return "sample without an image"
    notes = _notes(members, archive)
    if notes.get("label") is None:
        return "sample without a label"
    label = parse_label(notes["label"], known)
    if label is None:
        raise SettingsError(
            f"label of {image.name!r} in {url!r} must be one of {sorted(known)}, got {notes['label']!r}; "
            "name it with --label-names"
        )
    generator = notes.get("label_generator") or notes.get("generator")  # the first is written by `mole-scan export`
    source = str(notes.get("source") or generator or _stem(url))
    row = {**notes, "source": source, "generator": generator}
    made = sample_of(row, label, uri=url, number=len(samples), options=DEFAULT_OPTIONS)
    samples.append(replace(made, offset=image.offset_data, length=image.size))
    return None


def _notes(members: Members, archive: tarfile.TarFile) -> Mapping[str, Any]:
    """Read the metadata of a sample; `.json` takes precedence over the label in `.cls`."""
    notes: dict[str, Any] = {}
    for extension in NOTE_EXTENSIONS:
        member = members.get(extension)
        held = archive.extractfile(member) if member is not None and member.size <= MAX_NOTE_BYTES else None
        if held is None:
            continue
        text = held.read().decode("utf-8", "replace")
        if extension == "cls":
            notes["label"] = text
        else:
            notes |= _fields(text)
    return notes


def _fields(text: str) -> dict[str, Any]:
    """Parse a JSON object; empty for anything else."""
    try:
        read_ = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read_ if isinstance(read_, dict) else {}


def _ended(stream: fsspec.spec.AbstractBufferedFile, at: int) -> bool:
    """Return whether the end-of-archive marker follows the last readable member."""
    stream.seek(at)
    mark = stream.read(tarfile.BLOCKSIZE)
    return len(mark) == tarfile.BLOCKSIZE and not any(mark)


def _stem(url: str) -> str:
    """Name a source after its shard, without the number: `progan-000012.tar` is `progan`."""
    name = url.rpartition("/")[2].partition(".")[0]
    return name.rstrip("0123456789").rstrip("-_") or "shard"
