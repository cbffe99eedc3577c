"""Folders: labelled images whose label and generator are given by the names of the folders above them."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from mole.errors import SettingsError
from pipeline.images.extension import is_image
from pipeline.tune.data.label_words import NAMES, Words
from pipeline.tune.data.samples import Sample, placed
from pipeline.tune.data.source_options import DEFAULT_OPTIONS, SourceOptions

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "test", "testing", "images", "data"])
"""Folder names between an input and its generators that are not generators."""

IGNORED_FOLDERS = frozenset(["diffusion_datasets"])
"""UniversalFakeDetect's folder that groups some generators."""

MAX_EXAMPLES = 5


class Place(NamedTuple):
    """What the folders above an image mean.

    Attributes:
        label: 1 generated, 0 real.
        source: the generator, or the collection of photographs.
        shape: description of the folder structure.
        part: the class or generator within the source, if there are folders for it.
        collection: the source before it was split; empty for the source itself.
    """

    label: int
    source: str
    shape: str
    part: str = ""
    collection: str = ""


def read(
    files: Iterable[str], place: str, known: Words, *, options: SourceOptions = DEFAULT_OPTIONS
) -> tuple[str, list[Sample], Counter[str]]:
    """Read samples from files below a folder.

    Args:
        files: their URLs.
        place: the folder's URL, a prefix of the files' URLs.
        known: folder names that are labels.
        options: which sources hold grids, or several generators, each in a folder of its own.

    Returns:
        A description of the layout, the samples, and the reasons why files were skipped.

    Raises:
        SettingsError: no image is below a folder whose name is a label.
    """
    shapes: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    strangers: list[str] = []
    samples: list[Sample] = []
    for uri in files:
        parts = uri.removeprefix(place.rstrip("/")).strip("/").split("/")
        if not is_image(parts[-1]):
            skipped["not an image by its name"] += 1
            continue
        found = read_path(parts[:-1], place, known, options.split)
        if found is None:
            skipped["no folder above it is a label"] += 1
            strangers.append("/".join(parts))
            continue
        shapes[found.shape] += 1
        sample = Sample(uri, found.label, found.source, part=found.part, collection=found.collection)
        samples.append(placed(sample, sample.collection, len(samples), options))
    if not samples:
        raise SettingsError(_unknown(place, strangers, skipped, known))
    return " and ".join(shapes), samples, skipped


def read_path(folders: list[str], place: str, known: Words, split: Collection[str]) -> Place | None:
    """Read the folders between an input and an image; None if none of them is a label."""
    at = next((at for at in reversed(range(len(folders))) if folders[at].lower() in known), None)
    if at is None:  # the input itself may be the folder of one class
        parent, _, name = place.rstrip("/").rpartition("/")
        return Place(known[name.lower()], _own(parent), "one class") if name.lower() in known else None
    label = known[folders[at].lower()]
    above = [folder for folder in folders[:at] if folder.lower() not in SPLITS | IGNORED_FOLDERS]
    below = folders[at + 1 :]
    if above:
        source, part = (above[1], "") if above[0] in split and len(above) > 1 else (above[0], "/".join(above[1:]))
        shape = f"<generator>/{'<class>/' if len(above) > 1 else ''}{_pair(folders[at])}"
        return Place(label, source, shape, part, collection=above[0])
    if below:
        return Place(label, below[0], f"{_pair(folders[at])}/<generator>")
    if folders[at].lower() not in {"0_real", "1_fake", *NAMES, "nature", "ai"}:
        return Place(label, folders[at], "<generator, named as a label>")
    return Place(label, _own(place), _pair(folders[at]))


def reals_of(samples: Iterable[Sample]) -> dict[str, str]:
    """Return the source of the real images that each generator is compared with.

    Returns:
        For every generator, its own source if that has real images, or the one that UniversalFakeDetect uses;
        generators without an entry are compared with all real images.
    """
    reals: set[str] = set()
    fakes: set[str] = set()
    for sample in samples:
        (fakes if sample.label else reals).add(sample.source)
    lent = {name: "imagenet" if name == "guided" else "laion" for name in fakes if name.startswith(DIFFUSION)}
    return {name: name if name in reals else lent[name] for name in fakes if {name, lent.get(name)} & reals}


DIFFUSION = ("guided", "ldm_", "glide_", "dalle")
"""UniversalFakeDetect's generators without real images of their own; source: its `dataset_paths.py`."""


def _pair(folder: str) -> str:
    """Return both names of the pair of labels that a folder name belongs to."""
    pairs = ("0_real 1_fake", "real fake", "nature ai")
    return next((f"{{{pair.replace(' ', ',')}}}" for pair in pairs if folder.lower() in pair.split()), "<label>")


def _own(place: str) -> str:
    """Name a source after the input itself, or the folder above it if that is a split."""
    parts = [part for part in place.rstrip("/").split("/") if part.lower() not in SPLITS]
    return parts[-1] if parts else "images"


def _unknown(place: str, strangers: list[str], skipped: Counter[str], known: Words) -> str:
    """Describe what was found, and which layouts are recognised."""
    found = ", ".join(repr(name) for name in strangers[:MAX_EXAMPLES]) or "no image"
    reasons = ", ".join(f"{count:,} files {reason}" for reason, count in skipped.items()) or "no file"
    return (
        f"the layout of {place!r} is not recognised: found {found} ({reasons}); supported are folders named "
        f"{sorted(known)} with the generator's folder above them, a CSV, Parquet or JSON Lines file with uri, label, "
        "generator, labelled .tar shards, and a verdict table with --reviews; name other folders with --label-names"
    )
