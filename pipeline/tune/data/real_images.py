"""Real images: lists images that are known to be real and need no label."""

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence

from mole.errors import SettingsError, StorageError
from pipeline.images.extension import is_image
from pipeline.records import Status
from pipeline.storage import storage
from pipeline.storage.folder import walk
from pipeline.tune.data import shards, tables
from pipeline.tune.data.label_words import FAKE, FOLDERS, VALUES, parse_label
from pipeline.tune.data.manifest import place_of
from pipeline.tune.data.samples import Sample

LISTS = (*tables.EXTENSIONS, ".txt")
Place = tuple[str, int | None, int | None, str | None]
"""An image's URI, its range inside a shard, and the origin of the list that names it."""


def read_reals(places: Sequence[str], collection: str) -> tuple[list[Sample], Counter[str]]:
    """List real images.

    Args:
        places: each a folder, a listing or table (with `uri`, `path` or `url`, and optionally `offset`, `length`,
            `label` and `status`), a text file of paths, an uncompressed tar, or an image; paths or fsspec URLs.
        collection: name of the collection.

    Returns:
        Samples without duplicate locations, and the reasons why others were skipped.

    Raises:
        SettingsError: an input does not exist, is not recognised, or contains a folder of generated images.
        StorageError: an input cannot be read.
    """
    skipped: Counter[str] = Counter()
    found: dict[object, Sample] = {}
    for place in places:
        for uri, offset, length, origin in _images(place, skipped):
            sample = Sample(uri, 0, collection, offset=offset, length=length, origin=origin)
            skipped["named twice"] += place_of(sample) in found
            found[place_of(sample)] = sample
    return list(found.values()), +skipped


def _images(place: str, skipped: Counter[str]) -> Iterator[Place]:
    """Yield every image.

    Raises:
        SettingsError: the input does not exist, or contains a folder of generated images.
    """
    url = storage.absolute(place)
    if not storage.exists(url):
        raise SettingsError(f"--reals {place!r} is not there; name a folder, a listing, a tar or an image")
    if _kind(url):
        yield from _inside(url, skipped)
        return
    for file in sorted(found.url for found in walk(url)):
        folders = file.removeprefix(url).lower().split("/")[:-1]
        fakes = [name for name in folders if FOLDERS.get(name) == FAKE]
        if fakes:
            raise SettingsError(f"--reals {place!r} contains a folder {fakes[0]!r}; name only folders of real images")
        yield from _inside(file, skipped)


def _kind(url: str) -> bool:
    """Return whether a URL has the name of a supported file."""
    return is_image(url) or shards.is_shard(url) or url.lower().endswith(LISTS)


def _inside(url: str, skipped: Counter[str]) -> Iterator[Place]:
    """Yield the images of one file."""
    if is_image(url):
        yield url, None, None, None
    elif shards.is_shard(url):
        yield from _of_shard(url, skipped)
    elif tables.is_table(url):
        yield from _of_table(url, skipped)
    elif url.lower().endswith(".txt"):
        origin = tables.origin_of(url)
        for line in storage.read(url).decode("utf-8-sig").splitlines():
            if line.strip():
                yield tables.resolve(line.strip(), url.rpartition("/")[0]), None, None, origin
    else:
        skipped["not an image by its name"] += 1


def _of_table(url: str, skipped: Counter[str]) -> Iterator[Place]:
    """Yield the images of a table, except generated and unreadable ones.

    Raises:
        SettingsError: it has no column of URIs.
    """
    table = tables.open_table(url)
    place = next((name for name in tables.LOCATION_COLUMNS if name in table.column_names), None)
    if place is None:
        raise SettingsError(
            f"table {url!r} must have one of the columns {tables.LOCATION_COLUMNS}; it has {table.column_names}"
        )
    origin = tables.origin_of(url)
    wanted = [name for name in (place, "offset", "length", "label", "status") if name in table.column_names]
    for row in table.select(wanted).to_pylist():
        if not row[place] or row.get("status") not in (None, str(Status.OK)):
            skipped["row without an image"] += 1
        elif row.get("label") is not None and parse_label(row["label"], VALUES) != 0:
            skipped["not labelled real"] += 1
        else:
            uri = tables.resolve(str(row[place]), url.rpartition("/")[0])
            yield uri, tables.parse_integer(row.get("offset")), tables.parse_integer(row.get("length")), origin


def _of_shard(url: str, skipped: Counter[str]) -> Iterator[Place]:
    """Yield the images of an uncompressed tar.

    Raises:
        SettingsError: it is compressed, so that images cannot be read by range.
        StorageError: the store refuses.
    """
    if url.lower().endswith(shards.PACKED):
        raise SettingsError(f"shard {url!r} is compressed, so no image in it can be read alone; unpack it to a .tar")
    fs, path = storage.filesystem(url)
    try:
        with fs.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if member.isfile() and is_image(member.name):
                    yield url, member.offset_data, member.size, None
    except tarfile.TarError:
        skipped["torn archive"] += 1
    except OSError as reason:
        raise StorageError(f"shard {url!r} cannot be read: {reason}") from reason
