"""The collection: the samples of a job, read, looked at, rid of what contradicts itself, and split by group."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from mole.errors import SettingsError
from pipeline.telemetry.terminal import Ticker
from pipeline.tune.data.labels import mapping
from pipeline.tune.data.layout import Layout, gather
from pipeline.tune.data.samples import Sample, capped, to_table
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.split import TRAIN, exclude, groups, split_of
from pipeline.tune.data.survey import survey

VALIDATION, CALIBRATION, TEST = "validation", "calibration", "test"
Log = Callable[[str], None]


@dataclass(frozen=True)
class Collection:
    """Sound samples, one of each.

    Attributes:
        samples: each in its group.
        splits: of each sample.
        survey: what its file is, a row each.
        left_out: how many are not in here, by reason.
    """

    samples: list[Sample]
    splits: list[str]
    survey: pa.Table
    left_out: Counter[str]

    def of(self, *splits: str) -> list[Sample]:
        """Give the samples of some splits."""
        return [sample for sample, own in zip(self.samples, self.splits, strict=True) if own in splits]

    def rows_of(self, *splits: str) -> pa.Table:
        """Give the survey's rows of some splits."""
        return self.survey.take([place for place, own in enumerate(self.splits) if own in splits])

    def manifest(self) -> bytes:
        """Write the samples, their digests and splits as a Parquet file: what a version was made of."""
        table = to_table(self.samples).append_column("digest", self.survey["digest"])
        sink = io.BytesIO()
        pq.write_table(table.append_column("split", pa.array(self.splits, pa.string())), sink, compression="zstd")
        return sink.getvalue()

    def fingerprint(self) -> str:
        """Digest labels, contents, groups and splits, wherever the files lie; 32 hex digits."""
        content = hashlib.sha256()
        rows = zip(self.samples, self.survey["digest"].to_pylist(), self.splits, strict=True)
        for line in sorted(f"{digest} {s.label} {s.source} {s.group} {split}" for s, digest, split in rows):
            content.update(f"{line}\n".encode())
        return content.hexdigest()[:32]

    def __str__(self) -> str:
        """Count the samples of each split and class."""
        counts = Counter((split, sample.label) for split, sample in zip(self.splits, self.samples, strict=True))
        return ", ".join(
            f"{split} {counts[split, 0]:,} real and {counts[split, 1]:,} generated"
            for split in dict.fromkeys([TRAIN, *self.splits])
        )


def list_samples(settings: SampleSettings, log: Log, *, both: bool = True) -> Layout:
    """List the samples that the settings name, and tell their layout.

    Args:
        settings: where they lie and what their labels mean.
        log: receives progress messages, one line each.
        both: refuse samples of one class alone.

    Raises:
        SettingsError: a place is not understood, or a class is empty.
        StorageError: a place cannot be read.
    """
    with Ticker.shown().during("listing the images"):
        layout = gather(
            settings.samples,
            labels=mapping(settings.labels),
            reviews=settings.reviews,
            options=settings.source_options,
            both=both,
        )
    log(str(layout))
    return layout


def collect(
    settings: SampleSettings, log: Log, *, shares: Mapping[str, float] | None = None, hold_out: Sequence[str] = ()
) -> Collection:
    """Read the samples that a job was given, on a Ray that is connected already.

    Args:
        settings: where they lie and what their labels mean.
        log: receives progress messages, one line each.
        shares: of the groups that go to each split but training; none puts all into it.
        hold_out: generators, and collections of both classes, that go to validation whole.

    Raises:
        SettingsError: a place is not understood, a class is empty, or what is to be held out is not there.
        StorageError: a place cannot be read.
    """
    layout = list_samples(settings, log)
    samples = capped(layout.samples, settings.most, seed=settings.seed) if settings.most else layout.samples
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
