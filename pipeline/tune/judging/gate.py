"""The gate: whether a candidate may replace what it is held against, judged on the same images, row by row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from mole.measuring.fitting import reals_to_show, upper_bound
from mole.measuring.metrics import Rate
from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.generator_metrics import GeneratorMetrics
from pipeline.tune.judging.logits import OVERALL
from pipeline.tune.judging.perturbation import SHIPPED

FALSE_POSITIVE_BOUND = "false positives, at most"
"""The exact upper bound, at 95 % (Clopper-Pearson, one-sided): the rule that thresholds are set by."""


class Bounds(BaseModel):
    """What a candidate may lose.

    Attributes:
        auroc_drop: most that any generator's AUROC may fall, in any delivery that both were judged in.
        found_drop: most that the share called `generated` of any generator may fall, each at its own threshold.
        false_positives: share of reals called `generated` that a candidate may have, shown at 95 %: the upper bound
            must not lie above it, so a sample that is too small to show it is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc_drop: float = Field(0.02, ge=0, le=1)
    found_drop: float = Field(0.1, ge=0, le=1)
    false_positives: float = Field(0.01, gt=0, lt=1)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: a generator and its delivery, or the reals.
        figure: which figure; AUROC and the share found are estimates, false positives an upper bound.
        old: of what the candidate is held against; None where that is nothing.
        new: of the candidate.
        bound: what `new` must not fall below, or for false positives not lie above; None where nothing binds.
        holds: whether it does not.
        note: what a reader must know of it; empty where that is nothing.
    """

    what: str
    figure: str
    old: float | None
    new: float
    bound: float | None
    holds: bool
    note: str = ""


@dataclass(frozen=True)
class Decision:
    """Every comparison, and what follows.

    Attributes:
        rows: one a comparison.
        against: what the candidate was held against, in words; empty where that is nothing.
    """

    rows: list[Row]
    against: str = ""

    @property
    def passed(self) -> bool:
        """Whether the candidate may be promoted."""
        return all(row.holds for row in self.rows)

    @property
    def refusals(self) -> list[Row]:
        """The comparisons that do not hold."""
        return [row for row in self.rows if not row.holds]

    def __str__(self) -> str:
        """Say it in a line."""
        bound = [row for row in self.rows if row.bound is not None]
        against = f"held against {self.against}" if self.against else "held against nothing"
        if self.passed:
            few = sum(bool(row.note) for row in bound if row.figure != FALSE_POSITIVE_BOUND)
            weak = f" ({few} of too few images to show a drop within its bound)" if few else ""
            return f"{against}, {'all ' if len(bound) > 1 else ''}{len(bound)} of {len(bound)} bounds hold{weak}"
        worst = "; ".join(
            f"{row.what}: {row.figure} {row.new:.3f}, bound {row.bound:.3f}{f' ({row.note})' if row.note else ''}"
            for row in self.refusals
            if row.bound is not None
        )
        return f"{against}, {len(self.refusals)} of {len(bound)} bounds fail: {worst}"


def compare(candidate: Evaluation, other: Evaluation | None, bounds: Bounds, *, against: str = "") -> Decision:
    """Compare a candidate with what it is to replace.

    Args:
        candidate: its figures.
        other: figures of that on the same images; None where there is nothing to compare with.
        bounds: what the candidate may lose.
        against: what the other is, in words.
    """
    known = {(row.generator, row.delivery): row for row in other.rows} if other else {}
    rows: list[Row] = []
    for new in candidate.rows:
        old = known.get((new.generator, new.delivery))
        rows.append(_within_drop(new, "AUROC", (old.auroc if old else None, new.auroc), bounds.auroc_drop))
        if new.delivery == SHIPPED:
            found = (old.found.share if old else None, new.found.share)
            rows.append(_within_drop(new, "called generated", found, bounds.found_drop))
    alarms = candidate.metrics(OVERALL, SHIPPED).alarms
    before = other.metrics(OVERALL, SHIPPED).alarms if other else None
    rows += _collections(candidate, other)
    return Decision([*rows, _false_positives(alarms, before, bounds.false_positives)], against)


def _within_drop(row: GeneratorMetrics, figure: str, pair: tuple[float | None, float], drop: float) -> Row:
    """Hold an estimate against the other's on the same images, less what it may fall."""
    old, new = pair
    bound = None if old is None else max(0.0, old - drop)
    kind = " (reconstructions)" if row.reconstruction else ""
    needed = math.ceil(1 / drop) if drop else 0
    images = row.fakes if figure != "AUROC" else min(row.fakes, row.reals)
    note = f"few: 1 of {images:,} images is {1 / images:.3f}" if images < needed and bound is not None else ""
    holds = bound is None or new >= bound
    return Row(f"{row.generator}{kind}, {row.delivery}", figure, old, new, bound, holds, note)


def _collections(candidate: Evaluation, other: Evaluation | None) -> Sequence[Row]:
    """Tell the share of each collection of reals that is called generated; nothing binds it, since each is small."""
    before = {row.source: row.alarms.share for row in other.reals if row.delivery == SHIPPED} if other else {}
    return [
        Row(f"{row.source}, real", "called generated", before.get(row.source), row.alarms.share, None, holds=True)
        for row in candidate.reals
        if row.delivery == SHIPPED
    ]


def _false_positives(new: Rate, old: Rate | None, allowed: float) -> Row:
    """Hold the upper bound of a candidate's false positives against what is allowed."""
    what = f"all reals, shipped: {new.hits} of {new.images}, {new.share:.1%}"
    upper = upper_bound(new.hits, new.images)
    holds, note = upper <= allowed, ""
    if not holds:
        needed = reals_to_show(new.hits, new.images, allowed)
        why = f"at this share it takes {needed:,} reals" if needed else "the share itself is no lower than the bound"
        note = f"these show {_round_up(upper):g}; {why}"
    return Row(
        what, FALSE_POSITIVE_BOUND, upper_bound(old.hits, old.images) if old else None, upper, allowed, holds, note
    )


def _round_up(bound: float) -> float:
    """Round a bound up, so that what is said would hold."""
    return math.ceil(10_000 * bound) / 10_000
