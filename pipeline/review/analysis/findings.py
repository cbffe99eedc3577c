"""Findings: counts, score histogram, faults and image galleries of one model's rows."""

import math
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from mole.measuring.rates import clopper_pearson
from pipeline.review.analysis.model_rows import ODDS, ModelRows
from pipeline.review.analysis.suspicious import ORDER, SUSPICIOUS

GALLERY_IMAGES = 12
"""Images per gallery."""
DUPLICATE_FACTOR = 8
"""Factor of rows read for a gallery, since images with equal bytes are shown once."""
BINS, FINE = 48, 20
"""Bins of the histogram, and initial bins per logit."""
DOUBTFUL_DISTANCE = 1.0
"""Distance to a threshold in logits within which a score is doubtful."""
MAX_CSV_ROWS = 1_000_000
"""Maximum rows of the CSV file of suspicious images, a limit of spreadsheets."""

IMAGE_COLUMNS = (
    'unit, "index", uri, key, "offset", "length", content_hash, bytes, format, width, height, status, detail, logit, '
    "probability, verdict, provenance, declared, contradicted"
)


@dataclass(frozen=True)
class Share:
    """A share of images with its exact 95 % interval."""

    count: int
    images: int

    @property
    def share(self) -> float:
        """The share; 0 without images."""
        return self.count / self.images if self.images else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The Clopper-Pearson interval; (0, 1) without images."""
        return clopper_pearson(self.count, self.images) if self.images else (0.0, 1.0)


@dataclass(frozen=True)
class Counts:
    """Counts of the rows.

    Attributes:
        images: number of rows.
        generated: number called generated.
        real: number called real.
        unsure: number called unsure.
        declared: numbers by declared provenance, `generated` or `camera`.
        contradicted: number of images whose verdict contradicts it.
        since: time of the first row, None without rows.
        until: time of the last row.
    """

    images: int
    generated: int
    real: int
    unsure: int
    declared: dict[str, int]
    contradicted: int
    since: datetime | None
    until: datetime | None

    @property
    def scored(self) -> int:
        """Number of images with a verdict."""
        return self.generated + self.real + self.unsure

    def share(self, verdict: str) -> Share:
        """The share of a verdict."""
        return Share(getattr(self, verdict), self.scored)


@dataclass(frozen=True)
class Bin:
    """A histogram bin: numbers of images with a logit in [low, high), by verdict."""

    low: float
    high: float
    real: int
    unsure: int
    generated: int


@dataclass(frozen=True)
class Scale:
    """The map from logit to probability, linear in log odds, estimated from the rows.

    Attributes:
        slope: slope of the log odds.
        start: log odds at logit 0.
    """

    slope: float
    start: float

    def logit(self, odds: float) -> float:
        """Return the logit of log odds."""
        return (odds - self.start) / self.slope

    def odds(self, logit: float) -> float:
        """Return the log odds of a logit."""
        return self.start + self.slope * logit

    def chance(self, logit: float) -> float:
        """Return the probability of a logit."""
        return 0.5 * (1 + math.tanh(self.odds(logit) / 2))


@dataclass(frozen=True)
class Bounds:
    """The thresholds in logits; None if unknown."""

    real_below: float | None
    generated_above: float | None


def counts(rows: ModelRows) -> Counts:
    """Count the rows."""
    [row] = rows.ask("""
        SELECT count(*) AS images, count(*) FILTER (verdict = 'generated') AS generated,
               count(*) FILTER (verdict = 'real') AS real, count(*) FILTER (verdict = 'unsure') AS unsure,
               count(*) FILTER (declared = 'generated') AS made, count(*) FILTER (declared = 'camera') AS taken,
               count(*) FILTER (contradicted) AS contradicted, min(scanned_at) AS since, max(scanned_at) AS until
        FROM narrow
    """)
    return Counts(declared={"generated": row.pop("made"), "camera": row.pop("taken")}, **row)


def scale(rows: ModelRows) -> Scale | None:
    """Estimate the map from logits to probabilities; None if nothing was scored."""
    [row] = rows.ask(f"""
        SELECT regr_slope({ODDS}, logit::DOUBLE) AS slope, regr_intercept({ODDS}, logit::DOUBLE) AS start,
               avg({ODDS} - logit) AS shift
        FROM narrow WHERE logit IS NOT NULL AND probability BETWEEN 1e-6 AND 0.999
    """)
    if row["shift"] is None:
        return None
    if not row["slope"] or not row["slope"] > 0:  # NaN for a single value
        return Scale(1.0, row["shift"])
    return Scale(row["slope"], row["start"])


def bounds(rows: ModelRows) -> Bounds:
    """Infer the thresholds: the lowest logit of a `generated` row, and of an `unsure` row."""
    [row] = rows.ask("""
        SELECT min(logit) FILTER (verdict = 'generated') AS above, min(logit) FILTER (verdict = 'unsure') AS below
        FROM narrow WHERE isfinite(logit)
    """)
    return Bounds(row["below"], row["above"])


def histogram(rows: ModelRows) -> list[Bin]:
    """Compute a histogram with at most `BINS` bins of equal width; outliers are in the first and last bin."""
    fine = rows.ask(f"""
        SELECT floor(logit * {FINE})::BIGINT AS step, count(*) AS images,
               count(*) FILTER (verdict = 'real') AS real, count(*) FILTER (verdict = 'unsure') AS unsure,
               count(*) FILTER (verdict = 'generated') AS generated
        FROM narrow WHERE isfinite(logit) GROUP BY step ORDER BY step
    """)
    if not fine:
        return []
    ranks = list(accumulate(row["images"] for row in fine))
    tail = ranks[-1] // 1000
    low = next(row["step"] for row, rank in zip(fine, ranks, strict=True) if rank > tail)
    high = next(row["step"] for row, rank in zip(fine, ranks, strict=True) if rank >= ranks[-1] - tail)
    width = -(-(high - low + 1) // BINS)
    sums = [Counter[str]() for _ in range(-(-(high - low + 1) // width))]
    for row in fine:
        at = (min(max(row["step"], low), high) - low) // width
        sums[at].update({name: row[name] for name in ("real", "unsure", "generated")})
    edges = [(low + at * width) / FINE for at in range(len(sums) + 1)]
    return [
        Bin(edges[at], edges[at + 1], filled["real"], filled["unsure"], filled["generated"])
        for at, filled in enumerate(sums)
    ]


def faults(rows: ModelRows) -> list[dict[str, Any]]:
    """List the fault statuses with some examples each, the most frequent first."""
    return rows.ask("""
        WITH numbered AS (
            SELECT status, detail, uri, key, "offset", row_number() OVER (PARTITION BY status) AS number
            FROM current WHERE status <> 'ok'
        )
        SELECT status, count(*) AS images,
               list({'uri': uri, 'key': key, 'offset': "offset", 'detail': detail}) FILTER (number <= 3) AS examples
        FROM numbered GROUP BY status ORDER BY images DESC, status
    """)


def gallery(rows: ModelRows, condition: str, order: str, shown: Container[object] = ()) -> list[dict[str, Any]]:
    """Select the first images that match a condition, without duplicates.

    Args:
        rows: the model's rows.
        condition: SQL on the view `evidence`.
        order: SQL to sort by.
        shown: contents that are displayed already.
    """
    limit = GALLERY_IMAGES * DUPLICATE_FACTOR
    found = rows.ask(
        f"SELECT {IMAGE_COLUMNS} FROM evidence WHERE {condition} ORDER BY {order} LIMIT {limit}"
    )  # fmt: skip
    chosen = {_content(row): row for row in reversed(found)}  # of duplicates, the first stays
    return [row for row in found if chosen[_content(row)] is row and _content(row) not in shown][:GALLERY_IMAGES]


def galleries(rows: ModelRows, limits: Bounds) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the galleries by name, each image once."""
    some = {
        "suspicious": gallery(rows, f"{SUSPICIOUS} AND NOT contradicted", ORDER),
        "declared generated": gallery(rows, "contradicted AND declared = 'generated'", 'logit, unit, "index"'),
        "declared camera": gallery(rows, "contradicted AND declared = 'camera'", 'logit DESC, unit, "index"'),
    }
    yield from some.items()
    shown = {_content(row) for rows_ in some.values() for row in rows_}
    near = [f"abs(logit - {bound})" for bound in (limits.real_below, limits.generated_above) if bound is not None]
    if near:
        distance = f"least({', '.join(near)})"
        yield "doubtful", gallery(rows, f"{distance} <= {DOUBTFUL_DISTANCE}", f'{distance}, unit, "index"', shown)


def _content(row: dict[str, Any]) -> object:
    """Return the identity of an image: its content hash, or unit and index if unknown."""
    return row["content_hash"] or (row["unit"], row["index"])
