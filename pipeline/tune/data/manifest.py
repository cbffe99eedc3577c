"""Manifest: the samples that a version was trained, calibrated and tested on, by content and location, with splits."""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mole.config import Description
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.samples import Sample, from_table, to_table
from pipeline.tune.data.split import TRAIN

MANIFEST, ORIGIN = "manifest.parquet", "origin.json"
UNLISTED_SOURCES = "sources_before"
"""Key in the provenance of a version trained from adapters without a manifest: the names of their training sources."""
PARENT_SPLIT = "before"
"""The split of images that the parent's adapters were trained on."""
Place = tuple[str, int | None, int | None]
"""URI, offset and cell of a sample."""


@dataclass(frozen=True)
class TrainingImages:
    """The images that some versions were trained, stopped or calibrated on.

    Attributes:
        places: their locations.
        digests: of their contents, which also identify copies elsewhere.
        listed: whether all of the versions list their images.
        sources: names of training sources of versions that do not list their images.
    """

    places: frozenset[Place] = frozenset()
    digests: frozenset[str] = frozenset()
    listed: bool = True
    sources: frozenset[str] = frozenset()

    def __or__(self, other: "TrainingImages") -> "TrainingImages":
        """Join the images of two versions."""
        return TrainingImages(
            self.places | other.places,
            self.digests | other.digests,
            self.listed and other.listed,
            self.sources | other.sources,
        )

    def contains(self, sample: Sample) -> bool:
        """Return whether one of the images has the location of a sample."""
        return place_of(sample) in self.places


def training_images(version: Description) -> TrainingImages:
    """Return the training images of a version; without a manifest, the names of its sources at most."""
    file = version.folder / MANIFEST
    before = version.config.provenance.get(UNLISTED_SOURCES)
    names = frozenset(before or ())
    if not file.is_file():
        return TrainingImages(listed=False, sources=names)
    rows = pq.read_table(file)
    splits = rows["split"].to_pylist()
    chosen = rows.filter(pa.array([split != TEST for split in splits], pa.bool_()))
    digests = chosen["digest"].to_pylist() if "digest" in chosen.column_names else []
    places = frozenset(map(place_of, from_table(chosen)))
    return TrainingImages(
        places, frozenset(filter(None, digests)), listed=TRAIN in splits and before is None, sources=names
    )


def with_samples(version: Path, samples: Sequence[Sample], digests: Iterable[str], split: str) -> bytes:
    """Write a version's manifest with further samples appended.

    Args:
        version: folder of the version; without a manifest, a new one is started.
        samples: samples to append.
        digests: of their contents.
        split: their split.
    """
    added = to_table(samples).append_column("digest", pa.array(list(digests), pa.string()))
    added = added.append_column("split", pa.array([split] * len(samples), pa.string()))
    if (version / MANIFEST).is_file():
        added = pa.concat_tables([pq.read_table(version / MANIFEST), added], promote_options="default")
    return _parquet(added)


def with_parent_images(own: bytes, parent: Description) -> bytes:
    """Append to a version's manifest the training images of its parent, as far as the parent lists them."""
    if not (parent.folder / MANIFEST).is_file():
        return own
    rows = pq.read_table(parent.folder / MANIFEST)
    inherited = rows.filter(pa.array([split != TEST for split in rows["split"].to_pylist()], pa.bool_()))
    column = pa.array([PARENT_SPLIT] * len(inherited), pa.string())
    inherited = inherited.set_column(inherited.column_names.index("split"), "split", column)
    return _parquet(pa.concat_tables([pq.read_table(io.BytesIO(own)), inherited], promote_options="default"))


def portable(manifest: bytes) -> bytes:
    """Rewrite a manifest for other machines: images are identified by content, and locations are removed.

    A group of one image has no name there, which makes the file a fifth smaller.
    """
    rows = pq.read_table(io.BytesIO(manifest))
    names = pa.array([uri.rpartition("/")[2] for uri in rows["uri"].to_pylist()], pa.string())
    members = Counter(rows["group"].to_pylist())
    groups = pa.array([name if members[name] > 1 else "" for name in rows["group"].to_pylist()], pa.string())
    for column, values in (("uri", names), ("group", groups)):
        rows = rows.set_column(rows.column_names.index(column), column, values)
    return _parquet(rows)


def is_located(sample: Sample) -> bool:
    """Return whether the location of a manifest's sample is known; `portable` leaves its name alone."""
    return "/" in sample.uri


def place_of(sample: Sample) -> Place:
    """Return the location of a sample."""
    return sample.uri, sample.offset, sample.cell


def _parquet(rows: pa.Table) -> bytes:
    """Write rows as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()
