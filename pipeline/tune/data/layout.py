"""Layout: recognises how the labelled images of an input are organised, and lists them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from braceexpand import UnbalancedBracesError, braceexpand  # type: ignore[attr-defined, unused-ignore]

from mole.errors import SettingsError
from pipeline.images.extension import is_image
from pipeline.storage import storage
from pipeline.storage.folder import walk
from pipeline.tune.data import folders, shards, tables
from pipeline.tune.data.label_words import FOLDERS, VALUES, check_both, extend_words
from pipeline.tune.data.reviews import is_verdicts
from pipeline.tune.data.reviews import read as read_reviews
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.source_options import DEFAULT_OPTIONS, SourceOptions

LISTS = ("samples.csv", "manifest.csv")
"""Tables that describe the folder they are in."""


@dataclass(frozen=True)
class Layout:
    """The samples of one or several inputs.

    Attributes:
        name: description of the layout.
        samples: the labelled images, in order.
        skipped: number of files or rows that were skipped, by reason.
        place_of: for each sample, the index of the input it came from.
    """

    name: str
    samples: list[Sample]
    skipped: Counter[str] = field(default_factory=Counter)
    place_of: list[int] = field(default_factory=list)

    @property
    def reals(self) -> dict[str, str]:
        """The source of the real images that each generator is compared with; all of them without an entry."""
        return folders.reals_of(self.samples)

    def __str__(self) -> str:
        """Describe the layout, images per class, sources, and what was skipped."""
        fakes = sum(sample.label for sample in self.samples)
        sources = len({sample.source for sample in self.samples})
        passed = "".join(f", {count:,} skipped ({reason})" for reason, count in sorted(self.skipped.items()))
        return f"{self.name}: {len(self.samples) - fakes:,} real, {fakes:,} fake, {sources:,} sources{passed}"


def gather(
    places: Sequence[str],
    *,
    labels: Mapping[str, str] | None = None,
    reviews: str | None = None,
    options: SourceOptions = DEFAULT_OPTIONS,
    both: bool = True,
) -> Layout:
    """Recognise several inputs and combine their samples.

    Args:
        places: paths or fsspec URLs.
        labels: a user's words for real and fake.
        reviews: reviewers' labels for verdict tables among the inputs.
        options: which sources have grids or several generators, and which edges are cropped.
        both: refuse samples of one class only.

    Raises:
        SettingsError: an input is not recognised, or a class is empty.
        StorageError: an input cannot be listed or read.
    """
    found = [recognise(place, labels=labels, reviews=reviews, options=options) for place in places]
    samples = [sample for layout in found for sample in layout.samples]
    if both:
        description = "; ".join(f"{place!r} is {layout}" for place, layout in zip(places, found, strict=True))
        check_both([sample.label for sample in samples], description)
    skipped: Counter[str] = sum((layout.skipped for layout in found), Counter())
    place_of = [number for number, layout in enumerate(found) for _ in layout.samples]
    return Layout("; ".join(dict.fromkeys(layout.name for layout in found)), samples, skipped, place_of)


def recognise(
    place: str,
    *,
    labels: Mapping[str, str] | None = None,
    reviews: str | None = None,
    options: SourceOptions = DEFAULT_OPTIONS,
) -> Layout:
    """Recognise the layout of an input, and list its samples.

    Args:
        place: a folder, a table, shards (a tar, or braces over several), a verdict table; a path or an fsspec URL.
        labels: a user's words: `{"human": "real", "machine": "fake"}`.
        reviews: reviewers' labels, if the input is a verdict table.
        options: which sources have grids or several generators, and which edges are cropped.

    Raises:
        SettingsError: the input does not exist, or its layout is not recognised; the message says what was found.
        StorageError: the input cannot be listed or read.
    """
    values, own = extend_words(labels, VALUES), extend_words(labels, FOLDERS)
    if shards.is_shard(place):
        return Layout(*shards.read(_expanded(place), values))
    storage.require_exists(place, "--samples")
    url = storage.absolute(place)
    if tables.is_table(url):
        return _of_files([url], url.rpartition("/")[0], (values, own), reviews, options)
    files = sorted(found.url for found in walk(url))
    if not files:
        raise SettingsError(f"--samples {place!r} contains no files")
    return _of_files(files, url, (values, own), reviews, options)


def _expanded(pattern: str) -> list[str]:
    """List the shards that a name, braces or a glob stand for.

    Raises:
        SettingsError: a named shard does not exist, there are none, or the braces are not closed.
        StorageError: the store does not respond.
    """
    try:
        names = list(braceexpand(pattern))
    except UnbalancedBracesError as reason:
        raise SettingsError(f"--samples {pattern!r} cannot be read: {reason}; close its braces") from reason
    urls: list[str] = []
    for name in names:
        if "*" not in name:
            storage.require_exists(name, "--samples")
        fs, path = storage.filesystem(name)
        found = sorted(fs.glob(path)) if "*" in name else [path]
        urls += [storage.url_of(fs, str(each)) for each in found]
    if not urls:
        raise SettingsError(f"--samples {pattern!r} matches no shard; check the pattern")
    return urls


def _of_files(
    files: list[str],
    place: str,
    known: tuple[dict[str, int], dict[str, int]],
    reviews: str | None,
    options: SourceOptions,
) -> Layout:
    """Choose the reader by the names of the files, the most specific kind first."""
    values, own = known
    right_here = {file.removeprefix(place).strip("/"): file for file in files}
    chosen = next((right_here[name] for name in LISTS if name in right_here), None)
    listed = [file for file in files if tables.is_table(file)]
    parts = [file for file in listed if file.endswith(".parquet")]
    if chosen is None and parts and is_verdicts(parts):
        return Layout(*read_reviews(parts, reviews, values))
    if chosen is None and len(files) == len(listed) == 1:
        chosen = listed[0]
    if chosen is not None:
        name, samples, skipped = tables.read(chosen, values, options=options)
        return Layout(f"{name} ({chosen.rpartition('/')[2]})", samples, skipped)
    archives = [file for file in files if shards.is_shard(file)]
    if archives and not any(is_image(file) for file in files):
        return Layout(*shards.read(archives, values))
    if listed and len(listed) == len(files):
        return _joined([tables.read(file, values, options=options) for file in listed])
    return Layout(*folders.read(files, place, own, options=options))


def _joined(read: list[tuple[str, list[Sample], Counter[str]]]) -> Layout:
    """Combine several tables of one folder."""
    samples = [sample for _, own, _ in read for sample in own]
    return Layout(f"{len(read):,} tables, {read[0][0]}", samples, sum((skipped for *_, skipped in read), Counter()))
