"""Findings: the numbers of one model's rows: counts, scores, faults, and the images that are worth a look."""

import math
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from mole.measuring.fitting import clopper_pearson
from pipeline.review.evidence.model_rows import ODDS, ModelRows
from pipeline.review.evidence.suspicious import ORDER, SUSPICIOUS

SHOWN = 12
"""Images of a gallery."""
COPIES = 8
"""Times as many rows are read for a gallery: images with the same bytes are shown once."""
BINS, FINE = 48, 20
"""Of the histogram, and steps a logit that it is counted in first."""
NEAR = 1.0
"""Logits from a threshold, within which a score is doubtful."""
MOST_LINES = 1_000_000
"""Of the list of suspicious images: what a spreadsheet opens."""

PICTURE = (
    'unit, "index", uri, key, "offset", "length", content_hash, bytes, format, width, height, status, detail, logit, '
    "probability, verdict, provenance, declared, contradicted"
)


@dataclass(frozen=True)
class Share:
    """How many of some images are something, with the exact 95 % interval."""

    count: int
    images: int

    @property
    def share(self) -> float:
        """The share; 0 of no images."""
        return self.count / self.images if self.images else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper's and Pearson's; of no images all that is possible."""
        return clopper_pearson(self.count, self.images) if self.images else (0.0, 1.0)


@dataclass(frozen=True)
class Counts:
    """What the rows come to.

    Attributes:
        images: rows.
        generated: called so.
        real: called so.
        unsure: neither.
        declared: images by what their file declares, `generated` or `camera`.
        contradicted: images whose verdict contradicts that.
        since: time of the first row, None of none.
        until: time of the last.
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
        """Images with a verdict."""
        return self.generated + self.real + self.unsure

    def share(self, verdict: str) -> Share:
        """How many of those have this one."""
        return Share(getattr(self, verdict), self.scored)


@dataclass(frozen=True)
class Bin:
    """Images whose logit lies from `low` up to `high`, by verdict."""

    low: float
    high: float
    real: int
    unsure: int
    generated: int


@dataclass(frozen=True)
class Scale:
    """How the column `probability` follows from the logit: a straight line in log odds, found from the rows.

    Attributes:
        slope: of the log odds.
        start: log odds at logit 0.
    """

    slope: float
    start: float

    def logit(self, odds: float) -> float:
        """Find the logit of some log odds."""
        return (odds - self.start) / self.slope

    def odds(self, logit: float) -> float:
        """Find the log odds of a logit."""
        return self.start + self.slope * logit

    def chance(self, logit: float) -> float:
        """Find the probability of a logit."""
        return 0.5 * (1 + math.tanh(self.odds(logit) / 2))


@dataclass(frozen=True)
class Bounds:
    """Where verdicts change, in logits; None if no row shows it."""

    real_below: float | None
    generated_above: float | None


def counts(rows: ModelRows) -> Counts:
    """Count the rows."""
    [told] = rows.ask("""
        SELECT count(*) AS images, count(*) FILTER (verdict = 'generated') AS generated,
               count(*) FILTER (verdict = 'real') AS real, count(*) FILTER (verdict = 'unsure') AS unsure,
               count(*) FILTER (declared = 'generated') AS made, count(*) FILTER (declared = 'camera') AS taken,
               count(*) FILTER (contradicted) AS contradicted, min(scanned_at) AS since, max(scanned_at) AS until
        FROM narrow
    """)
    return Counts(declared={"generated": told.pop("made"), "camera": told.pop("taken")}, **told)


def scale(rows: ModelRows) -> Scale | None:
    """Find how probabilities follow from logits; None if nothing was scored."""
    [told] = rows.ask(f"""
        SELECT regr_slope({ODDS}, logit::DOUBLE) AS slope, regr_intercept({ODDS}, logit::DOUBLE) AS start,
               avg({ODDS} - logit) AS shift
        FROM narrow WHERE logit IS NOT NULL AND probability BETWEEN 1e-6 AND 0.999
    """)
    if told["shift"] is None:
        return None
    if not told["slope"] or not told["slope"] > 0:  # NaN of one value
        return Scale(1.0, told["shift"])
    return Scale(told["slope"], told["start"])


def bounds(rows: ModelRows) -> Bounds:
    """Find where verdicts change: the least logit of a `generated`, and the least of an `unsure`."""
    [told] = rows.ask("""
        SELECT min(logit) FILTER (verdict = 'generated') AS above, min(logit) FILTER (verdict = 'unsure') AS below
        FROM narrow WHERE isfinite(logit)
    """)
    return Bounds(told["below"], told["above"])


def histogram(rows: ModelRows) -> list[Bin]:
    """Count the images in at most `BINS` bins of equal width; the first and the last hold what lies farther out."""
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
    """List the kinds of faults with some examples each, the most frequent first."""
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
    """Choose the first images that meet a condition, those of the same bytes once.

    Args:
        rows: the model's.
        condition: SQL on the view `evidence`.
        order: SQL, which comes first.
        shown: contents that stand elsewhere already.
    """
    found = rows.ask(
        f"SELECT {PICTURE} FROM evidence WHERE {condition} ORDER BY {order} LIMIT {SHOWN * COPIES}"
    )  # fmt: skip
    chosen = {_content(row): row for row in reversed(found)}  # of the same bytes the first stays
    return [row for row in found if chosen[_content(row)] is row and _content(row) not in shown][:SHOWN]


def galleries(rows: ModelRows, limits: Bounds) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Choose the images that are worth a look, each kind under its name and each image once."""
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
        yield "doubtful", gallery(rows, f"{distance} <= {NEAR}", f'{distance}, unit, "index"', shown)


def _content(row: dict[str, Any]) -> object:
    """Return what an image shows: its bytes, or where those are not known its place."""
    return row["content_hash"] or (row["unit"], row["index"])
