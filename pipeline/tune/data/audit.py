"""Audit: how the files of the two classes differ apart from their content, and whether that gives the class away."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from mole.errors import SettingsError
from pipeline.tune.data import leak, split
from pipeline.tune.data.label_words import NAMES
from pipeline.tune.data.samples import Sample

MAX_LEAK = 0.65
QUANTILES = (10, 50, 90)
COMMON_VALUES = 4
MIN_IMAGES = 30
"""Images per class below which an audit is reported as unreliable."""
NUMBERS = ("quality", "width", "height", "aspect", "bytes_per_pixel")
FLAGS = ("exif", "icc", "xmp")
TEXTS = ("format", "subsampling", "software")


class Result(BaseModel):
    """Base of audit results: frozen, and JSON by `model_dump_json`."""

    model_config = ConfigDict(frozen=True)


class Distribution(Result):
    """File properties of one class, or of one source in it.

    Attributes:
        label: `real` or `fake`.
        source: the source; None for the class as a whole.
        images: number of images.
        shares: for `format`, `subsampling`, `software`, `exif`, `icc`, `xmp`: the share of each value.
        quantiles: for each number, the 10, 50 and 90 % quantiles; numbers that no file has are left out.
    """

    label: str
    source: str | None
    images: int
    shares: dict[str, dict[str, float]]
    quantiles: dict[str, tuple[float, float, float]]


class Copies(Result):
    """Near-duplicate pictures.

    Attributes:
        groups: number of groups of near duplicates; declared pairs do not count.
        samples: number of samples in those groups.
        across_classes: groups that contain both classes.
        across_sources: groups that contain several sources.
        across_splits: groups that contain several splits (or inputs).
        named: URIs of a few groups across classes or splits.
    """

    groups: int
    samples: int
    across_classes: int
    across_sources: int
    across_splits: int
    named: list[list[str]]


class Verdict(Result):
    """Whether properties of the files alone leak the label.

    Attributes:
        leaks: the AUC is above the bound, and significantly above 0.5.
        told: description, with the columns that are above the bound.
    """

    leaks: bool
    told: str


class Audit(Result):
    """The result of an audit.

    Attributes:
        images: number of images surveyed.
        excluded: number of images left out, by reason.
        named: reason, URI and detail of the first images left out for each reason.
        distributions: of each class, then of each source.
        auc: of a classifier on file properties alone; None if there are too few images.
        low: lower end of its 95 % interval.
        high: upper end.
        columns: AUC of each column alone, the highest first.
        copies: near duplicates.
    """

    images: int
    excluded: dict[str, int]
    named: list[tuple[str, str, str]]
    distributions: list[Distribution]
    auc: float | None
    low: float | None
    high: float | None
    columns: dict[str, float]
    copies: Copies


def audit(samples: Sequence[Sample], survey: pa.Table, *, splits: Sequence[object] = (), seed: int = 0) -> Audit:
    """Audit labelled images.

    Args:
        samples: the samples.
        survey: their survey rows.
        splits: the split or input of each sample, to find copies across them.
        seed: of the cross-validation.

    Raises:
        SettingsError: no readable image of one class is left.
    """
    left = split.exclude(samples, survey)
    kept, rows = [samples[place] for place in left.kept], survey.take(pa.array(left.kept, pa.int64()))
    labels = [sample.label for sample in kept]
    if len(set(labels)) < 2:
        there = {NAMES[label]: count for label, count in Counter(labels).items()}
        raise SettingsError(f"an audit needs readable images of both classes, {there or 'none'} are left: {left}")
    found = leak.measure(rows, labels, split.groups(kept, rows), seed=seed)
    return Audit(
        images=len(samples),
        excluded=dict(left.reasons),
        named=left.named,
        distributions=distributions(kept, rows),
        auc=found.auc,
        low=found.low,
        high=found.high,
        columns=found.columns,
        copies=copies(kept, rows, [splits[place] for place in left.kept] if splits else ()),
    )


def verdict_of(found: Audit, bound: float = MAX_LEAK) -> Verdict:
    """Decide whether properties of the files alone leak the label.

    Args:
        found: an audit.
        bound: maximum AUC of a fair data set.
    """
    if found.auc is None or found.low is None:
        return Verdict(leaks=False, told=f"not measured: fewer than {leak.MIN_GROUPS} groups in one of the classes")
    telling = {name: auc for name, auc in found.columns.items() if name != leak.REPORTED_ONLY and auc > bound}
    by = ", ".join(f"{name} {auc:.2f}" for name, auc in telling.items())
    measured = f"a classifier on file properties alone reaches an AUC of {found.auc:.3f} (bound {bound:g})"
    fewest = min(one.images for one in found.distributions if one.source is None)
    few = f"; this is unreliable with only {fewest} images of a class" if fewest < MIN_IMAGES else ""
    if found.auc <= bound or found.low <= 0.5:
        return Verdict(leaks=False, told=f"{measured}{few}")
    return Verdict(leaks=True, told=f"{measured}; columns above the bound: {by or 'none, only all together'}")


def distributions(samples: Sequence[Sample], rows: pa.Table) -> list[Distribution]:
    """Summarise each class, then each source in it."""
    members: dict[tuple[int, str | None], list[int]] = {}
    for place, sample in enumerate(samples):
        members.setdefault((sample.label, None), []).append(place)
        members.setdefault((sample.label, sample.source), []).append(place)
    ordered = sorted(members.items(), key=lambda entry: (entry[0][1] is not None, entry[0][0], entry[0][1] or ""))
    return [
        Distribution(
            label=NAMES[label],
            source=source,
            images=len(places),
            shares={name: _shares(rows[name].take(pa.array(places))) for name in (*TEXTS, *FLAGS)},
            quantiles=_quantiles(rows.take(pa.array(places))),
        )
        for (label, source), places in ordered
    ]


def copies(samples: Sequence[Sample], rows: pa.Table, splits: Sequence[object]) -> Copies:
    """Find near duplicates among readable samples; samples of a declared group do not count as duplicates."""
    links = split.near_pairs(rows["phash"])
    apart = [
        (left, right)
        for left, right in links.tolist()
        if not samples[left].group or samples[left].group != samples[right].group
    ]
    number_N = split.components(np.array(apart, np.int64).reshape(-1, 2), len(samples))
    clusters: dict[int, list[int]] = {}
    for place, number in enumerate(number_N.tolist()):
        clusters.setdefault(number, []).append(place)
    several = [places for places in clusters.values() if len(places) > 1]
    classes = [places for places in several if len({samples[place].label for place in places}) > 1]
    straddling = [places for places in several if splits and len({splits[place] for place in places}) > 1]
    return Copies(
        groups=len(several),
        samples=sum(map(len, several)),
        across_classes=len(classes),
        across_sources=sum(len({samples[place].source for place in places}) > 1 for places in several),
        across_splits=len(straddling),
        named=[[samples[place].uri for place in places] for places in (classes + straddling)[: split.MAX_EXAMPLES]],
    )


def _shares(column: pa.ChunkedArray) -> dict[str, float]:
    """Compute the shares of the most common values; `none` for null."""
    counts = Counter("none" if value is None else str(value).lower() for value in column.to_pylist())
    return {name: count / len(column) for name, count in counts.most_common(COMMON_VALUES)}


def _quantiles(rows: pa.Table) -> dict[str, tuple[float, float, float]]:
    read: Mapping[str, list[Any]] = {name: rows[name].drop_null().to_pylist() for name in NUMBERS}
    cuts = {name: np.percentile(values, QUANTILES).tolist() for name, values in read.items() if values}
    return {name: (low, middle, high) for name, (low, middle, high) in cuts.items()}
