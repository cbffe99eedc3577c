"""The manifest: the samples that a version was made of, by content and place, and which split each was in."""

import io
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
UNLISTED = "sources_before"
"""In the provenance of a version that goes on from another's adapters, where that keeps no list: its sources' names."""
BEFORE = "before"
"""The split of what taught the adapters that a version went on from."""
Place = tuple[str, int | None, int | None]
"""The file, where the image begins in it, and the cell."""


@dataclass(frozen=True)
class TrainingImages:
    """The images that some versions were trained, stopped or calibrated on.

    Attributes:
        places: where they lay.
        digests: of their contents, so that a copy elsewhere is known too.
        listed: whether every one of the versions has a list of them.
        sources: names of further sources that taught a version, which kept no list of its images.
    """

    places: frozenset[Place] = frozenset()
    digests: frozenset[str] = frozenset()
    listed: bool = True
    sources: frozenset[str] = frozenset()

    def __or__(self, other: "TrainingImages") -> "TrainingImages":
        """Join what taught two versions."""
        return TrainingImages(
            self.places | other.places,
            self.digests | other.digests,
            self.listed and other.listed,
            self.sources | other.sources,
        )

    def contains(self, sample: Sample) -> bool:
        """Tell whether a sample lies where one of the images did."""
        return place_of(sample) in self.places


def training_images(version: Description) -> TrainingImages:
    """Tell what taught a version; one that does not list its training tells by the names of its sources at most."""
    file = version.folder / MANIFEST
    before = version.config.provenance.get(UNLISTED)
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
    """Write a version's manifest with further samples behind it.

    Args:
        version: the folder of the version; one without a manifest begins a new one.
        samples: what comes to it.
        digests: of their contents.
        split: what they were used for.
    """
    added = to_table(samples).append_column("digest", pa.array(list(digests), pa.string()))
    added = added.append_column("split", pa.array([split] * len(samples), pa.string()))
    if (version / MANIFEST).is_file():
        added = pa.concat_tables([pq.read_table(version / MANIFEST), added], promote_options="default")
    return _parquet(added)


def with_parent_images(own: bytes, parent: Description) -> bytes:
    """Add to a version's manifest what taught the adapters that it went on from, as far as its parent lists that."""
    if not (parent.folder / MANIFEST).is_file():
        return own
    rows = pq.read_table(parent.folder / MANIFEST)
    taught_it = rows.filter(pa.array([split != TEST for split in rows["split"].to_pylist()], pa.bool_()))
    column = pa.array([BEFORE] * len(taught_it), pa.string())
    taught_it = taught_it.set_column(taught_it.column_names.index("split"), "split", column)
    return _parquet(pa.concat_tables([pq.read_table(io.BytesIO(own)), taught_it], promote_options="default"))


def portable(manifest: bytes) -> bytes:
    """Rewrite a manifest for a version that goes to other machines: contents tell what taught it, and no place does."""
    rows = pq.read_table(io.BytesIO(manifest))
    names = pa.array([uri.rpartition("/")[2] for uri in rows["uri"].to_pylist()], pa.string())
    return _parquet(rows.set_column(rows.column_names.index("uri"), "uri", names))


def place_of(sample: Sample) -> Place:
    """Name the file, range and cell that a sample lies in."""
    return sample.uri, sample.offset, sample.cell


def _parquet(rows: pa.Table) -> bytes:
    """Write rows as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()
