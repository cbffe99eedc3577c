"""Drift: changes of scores and verdicts between runs and between models.

Legend: K bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from pipeline.records import MODEL
from pipeline.review.analysis.model_rows import ODDS, Model, ModelRows

BINS = 10
STEPS = 20
"""Bins of the index, and initial bins per unit of log odds."""
WATCH, ACT = 0.1, 0.25
"""Thresholds of the index for a moderate and for a large change; Siddiqi 2006, as in credit scoring."""

Window = tuple[datetime, datetime]


@dataclass(frozen=True)
class Index:
    """A population stability index.

    Attributes:
        value: 0 if the two distributions are equal.
        chance: its 95 % quantile without any change, for these numbers of images.
        before: number of images of the reference.
        after: number of images compared with it.
    """

    value: float
    chance: float
    before: int
    after: int

    @property
    def words(self) -> str:
        """The interpretation, by the usual thresholds and by chance."""
        if self.value <= self.chance:
            return "no more than chance gives with so few images" if self.chance > WATCH else "no change to be seen"
        if self.value < WATCH:
            return "a small change, more than chance alone would give"
        return "a moderate change" if self.value < ACT else "a large change"


@dataclass(frozen=True)
class Flips:
    """The verdicts of two models on the same images.

    Attributes:
        other: the earlier model.
        images: number of images with a verdict of both.
        changed: number of images by (verdict of the other, verdict of this one), equal verdicts included.
        index: stability index of this model's probabilities against the other's.
    """

    other: Model
    images: int
    changed: dict[tuple[str, str], int]
    index: Index

    @property
    def flipped(self) -> int:
        """Number of images with different verdicts."""
        return sum(count for (before, after), count in self.changed.items() if before != after)


def between(rows: ModelRows, before: Window, after: Window) -> Index | None:
    """Compare the scores of two time windows; None if either has none."""
    counted = rows.ask(
        f"SELECT floor({STEPS} * {ODDS})::BIGINT AS step, count(*) FILTER (scanned_at BETWEEN $1 AND $2) AS before, "
        "count(*) FILTER (scanned_at BETWEEN $3 AND $4) AS after FROM narrow WHERE probability IS NOT NULL "
        "GROUP BY step ORDER BY step",
        *before,
        *after,
    )
    return index([row["before"] for row in counted], [row["after"] for row in counted])


def flips(rows: ModelRows) -> Flips | None:
    """Compare the model with the previous one, image by image; None if no image was scored by both.

    Images are joined by a 64-bit hash of unit and index: a collision occurs in one of some 3 × 10^5 tables of ten
    million images.
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
    """Compute the stability index of a distribution against a reference.

    Args:
        before: images of the reference in narrow bins, in order.
        after: images compared with it in the same bins.

    Returns:
        The sum over bins of (a - b) ln(a / b), with shares a and b; the bins are deciles of the reference, or fewer if
        many images have equal scores, and half an image is added to each bin to avoid log 0. None if either has no
        images.

    Source: the index is Jeffreys' divergence of the binned shares; its distribution under no change is from Yurdakul
    2018 (Statistical Properties of Population Stability Index): (1/n + 1/m) times chi-square with one degree of freedom
    less than bins.
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
    chance = (1 / sum(before) + 1 / sum(after)) * float(chdtri(max(1, bins - 1), 0.05))
    return Index(value, chance, sum(before), sum(after))


def _tenths(counts: NDArray[np.int_]) -> NDArray[np.int_]:
    """Assign narrow bins to bins of about a tenth of the images each; int (K,)."""
    middle = np.cumsum(counts) - counts / 2
    tenth = np.minimum((BINS * middle / counts.sum()).astype(int), BINS - 1)
    return np.unique(tenth, return_inverse=True)[1].reshape(-1)
