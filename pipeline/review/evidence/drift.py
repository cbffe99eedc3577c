"""Drift: how far scores and verdicts have moved, from one run to the next and from one model to the next.

Legend: K bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from pipeline.records import MODEL
from pipeline.review.evidence.model_rows import ODDS, Model, ModelRows

BINS = 10
STEPS = 20
"""Bins of the index, and steps a unit of log odds that scores are counted in first."""
WATCH, ACT = 0.1, 0.25
"""Siddiqi 2006, and the habit of credit scoring: below the one no change is seen, above the other a large one."""

Window = tuple[datetime, datetime]


@dataclass(frozen=True)
class Index:
    """A population stability index.

    Attributes:
        value: 0 if two distributions are the same.
        chance: what it stays below 19 times in 20 if nothing has changed, for so many images.
        before: images of the reference.
        after: images that are held against it.
    """

    value: float
    chance: float
    before: int
    after: int

    @property
    def words(self) -> str:
        """Say what it means, by the usual bounds and by chance."""
        if self.value <= self.chance:
            return "no more than chance gives with so few images" if self.chance > WATCH else "no change to be seen"
        if self.value < WATCH:
            return "a small change, more than chance alone would give"
        return "a moderate change" if self.value < ACT else "a large change"


@dataclass(frozen=True)
class Flips:
    """What two models call the same images.

    Attributes:
        other: the model that judged them before.
        images: that both gave a verdict.
        changed: how many by (verdict of the other, verdict of this one), the same verdict included.
        index: of this model's probabilities against the other's, on these images.
    """

    other: Model
    images: int
    changed: dict[tuple[str, str], int]
    index: Index

    @property
    def flipped(self) -> int:
        """Images that the two call otherwise."""
        return sum(count for (before, after), count in self.changed.items() if before != after)


def between(rows: ModelRows, before: Window, after: Window) -> Index | None:
    """Hold the scores of a later time against those of an earlier one; None if either has none."""
    counted = rows.ask(
        f"SELECT floor({STEPS} * {ODDS})::BIGINT AS step, count(*) FILTER (scanned_at BETWEEN $1 AND $2) AS before, "
        "count(*) FILTER (scanned_at BETWEEN $3 AND $4) AS after FROM narrow WHERE probability IS NOT NULL "
        "GROUP BY step ORDER BY step",
        *before,
        *after,
    )
    return index([row["before"] for row in counted], [row["after"] for row in counted])


def flips(rows: ModelRows) -> Flips | None:
    """Compare the model with the one before it, image by image; None if no image was scored by both.

    Images are joined by a 64-bit hash of their place: in one of some 3 × 10^5 tables of ten million images a pair is
    taken for another.
    """
    if rows.other is None:
        return None
    rows.run(
        f"""CREATE TABLE pairs AS
            SELECT other.verdict AS before, narrow.verdict AS after,
                   floor({STEPS} * {ODDS.replace("probability", "other.probability")})::BIGINT AS step_before,
                   floor({STEPS} * {ODDS.replace("probability", "narrow.probability")})::BIGINT AS step_after
            FROM narrow JOIN (
                SELECT hash(unit, "index") AS place, any_value(verdict) AS verdict,
                       any_value(probability) AS probability
                FROM verdicts WHERE {MODEL} = '{rows.other.digest.replace("'", "''")}' GROUP BY place
            ) AS other USING (place)
            WHERE narrow.verdict IS NOT NULL AND other.verdict IS NOT NULL"""
    )
    changed = rows.ask("SELECT before, after, count(*) AS images FROM pairs GROUP BY ALL")
    counted = rows.ask("""
        SELECT step, sum(before)::BIGINT AS before, sum(after)::BIGINT AS after FROM (
            SELECT step_before AS step, 1 AS before, 0 AS after FROM pairs
            UNION ALL SELECT step_after, 0, 1 FROM pairs
        ) GROUP BY step ORDER BY step
    """)
    moved = index([row["before"] for row in counted], [row["after"] for row in counted])
    if moved is None:
        return None
    counts = {(row["before"], row["after"]): row["images"] for row in changed}
    return Flips(rows.other, sum(counts.values()), counts, moved)


def index(before: Sequence[int], after: Sequence[int]) -> Index | None:
    """Measure how far a distribution has moved from a reference.

    Args:
        before: images of the reference in each of many narrow bins, in order.
        after: images held against it in the same bins.

    Returns:
        The sum over bins of (a - b) ln(a / b), a and b being shares; the bins are tenths of the reference, or fewer
        where many of its images score alike, and half an image is added to each, so that an empty one has a logarithm.
        None if either has no images.

    Source: the index is Jeffreys' divergence of the binned shares; its bound by chance is Yurdakul 2018 (Statistical
    Properties of Population Stability Index): (1/n + 1/m) times chi-square of one degree less than there are bins.
    """
    if not sum(before) or not sum(after):
        return None
    bin_K = _tenths(np.asarray(before))
    shares = []
    for counts in (before, after):
        images_K = np.bincount(bin_K, counts) + 0.5
        shares.append(images_K / images_K.sum())
    bins = len(shares[0])
    value = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    chance = (1 / sum(before) + 1 / sum(after)) * float(chi2.ppf(0.95, max(1, bins - 1)))
    return Index(value, chance, sum(before), sum(after))


def _tenths(counts: NDArray[np.int_]) -> NDArray[np.int_]:
    """Number the bin that each narrow bin falls into, so that bins hold a tenth each as nearly as can be; int (K,)."""
    middle = np.cumsum(counts) - counts / 2
    tenth = np.minimum((BINS * middle / counts.sum()).astype(int), BINS - 1)
    return np.unique(tenth, return_inverse=True)[1].reshape(-1)
