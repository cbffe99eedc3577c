"""Collection: the samples of a job, listed, surveyed, deduplicated and split by group."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from mole.errors import SettingsError
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.label_words import parse_mapping
from pipeline.tune.data.layout import Layout, gather
from pipeline.tune.data.samples import Sample, capped, to_table
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.split import TRAIN, exclude, groups, split_of
from pipeline.tune.data.survey import survey

VALIDATION, CALIBRATION, TEST = "validation", "calibration", "test"
Log = Callable[[str], None]
"""Receives progress messages, one line each."""


@dataclass(frozen=True)
class Collection:
    """Readable samples without duplicates.

    Attributes:
        samples: with their groups.
        splits: of each sample.
        survey: a row of file properties per sample.
        left_out: number of samples that were left out, by reason.
    """

    samples: list[Sample]
    splits: list[str]
    survey: pa.Table
    left_out: Counter[str]

    def of(self, *splits: str) -> list[Sample]:
        """Return the samples of some splits."""
        return [sample for sample, own in zip(self.samples, self.splits, strict=True) if own in splits]

    def rows_of(self, *splits: str) -> pa.Table:
        """Return the survey rows of some splits."""
        return self.survey.take([place for place, own in enumerate(self.splits) if own in splits])

    def manifest(self) -> bytes:
        """Write the samples, their digests and splits as a Parquet file: the training data of a version."""
        table = to_table(self.samples).append_column("digest", self.survey["digest"])
        sink = io.BytesIO()
        pq.write_table(table.append_column("split", pa.array(self.splits, pa.string())), sink, compression="zstd")
        return sink.getvalue()

    def fingerprint(self) -> str:
        """Digest labels, contents, groups and splits, independent of file locations; 32 hex digits."""
        content = hashlib.sha256()
        rows = zip(self.samples, self.survey["digest"].to_pylist(), self.splits, strict=True)
        for line in sorted(f"{digest} {s.label} {s.source} {s.group} {split}" for s, digest, split in rows):
            content.update(f"{line}\n".encode())
        return content.hexdigest()[:32]

    def __str__(self) -> str:
        """Count the samples of each split and class; part of a version's provenance, and hence of its digest."""
        counts = Counter((split, sample.label) for split, sample in zip(self.splits, self.samples, strict=True))
        return ", ".join(
            f"{split} {counts[split, 0]:,} real and {counts[split, 1]:,} generated"
            for split in dict.fromkeys([TRAIN, *self.splits])
        )


def list_samples(settings: SampleSettings, log: Log, *, both: bool = True) -> Layout:
    """List the samples that the settings name, and log their layout.

    Args:
        settings: where the samples are, and what their labels mean.
        log: receives progress messages, one line each.
        both: refuse samples of one class only.

    Raises:
        SettingsError: an input is not recognised, or a class is empty.
        StorageError: an input cannot be read.
    """
    with ProgressDisplay.shown().during("listing the images"):
        layout = gather(
            settings.samples,
            labels=parse_mapping(settings.label_names),
            reviews=settings.reviews,
            options=settings.source_options,
            both=both,
        )
    log(str(layout))
    return layout


def collect(
    settings: SampleSettings, log: Log, *, shares: Mapping[str, float] | None = None, hold_out: Sequence[str] = ()
) -> Collection:
    """List, survey, deduplicate and split the samples of a job; Ray must be connected.

    Args:
        settings: where the samples are, and what their labels mean.
        log: receives progress messages, one line each.
        shares: share of groups of each split except training; None puts everything into training.
        hold_out: generators and collections that go to validation as a whole.

    Raises:
        SettingsError: an input is not recognised, a class is empty, or a held-out name is unknown.
        StorageError: an input cannot be read.
    """
    layout = list_samples(settings, log)
    samples = capped(layout.samples, settings.max_per_source, seed=settings.seed)
    facts = survey(samples)
    exclusions = exclude(samples, facts)
    log(str(exclusions))
    for reason, uri, detail in exclusions.named:
        log(f"  {reason}: {uri} {detail}".rstrip())
    kept, facts = [samples[place] for place in exclusions.kept], facts.take(exclusions.kept)
    grouped = [replace(sample, group=group) for sample, group in zip(kept, groups(kept, facts), strict=True)]
    generators = {sample.source for sample in grouped if sample.label}
    collections = {sample.collection for sample in grouped}
    unknown = sorted(set(hold_out) - generators - collections)
    if unknown:
        raise SettingsError(
            f"--hold-out {unknown} are no generators or collections here; there are {sorted(generators | collections)}"
        )
    splits = [
        VALIDATION
        if sample.source in hold_out or sample.collection in hold_out
        else split_of(sample.group, settings.seed, shares or {})
        for sample in grouped
    ]
    found = Collection(grouped, splits, facts, exclusions.reasons)
    if shares:
        log(str(found))
    return found
