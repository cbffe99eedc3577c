"""The manifest: the samples that a version was made of, by content and place, and which split each was in."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.tune.data.collection import TEST
from pipeline.tune.data.samples import Sample, from_table

MANIFEST = "manifest.parquet"


def taught(version: Path, samples: Sequence[Sample]) -> int:
    """Count the samples that a version was trained, stopped or calibrated on, as far as their places tell.

    Args:
        version: the checkpoint's folder; one without a manifest tells nothing.
        samples: what it is to be judged on.
    """
    if not (version / MANIFEST).is_file():
        return 0
    rows = pq.read_table(version / MANIFEST)
    splits = rows["split"].to_pylist()
    known = {place_of(sample) for sample, split in zip(from_table(rows), splits, strict=True) if split != TEST}
    return sum(place_of(sample) in known for sample in samples)


def place_of(sample: Sample) -> tuple[str, int | None, int | None]:
    """Name the file, range and cell that a sample lies in."""
    return sample.uri, sample.offset, sample.cell
