"""Promotion gate: compares a candidate with the version it would replace, on the same images, metric by metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from mole.measuring.calibration_fit import reals_to_demonstrate
from mole.measuring.rates import Rate, upper_bound
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.generator_metrics import GeneratorMetrics
from pipeline.tune.evaluation.logits import OVERALL
from pipeline.tune.evaluation.perturbation import ORIGINAL, shown_name

FALSE_POSITIVE_BOUND = "false positives, at most"
"""The exact one-sided upper bound at 95 % confidence (Clopper-Pearson), by which thresholds are set too."""


class Bounds(BaseModel):
    """The limits for a candidate.

    Attributes:
        auroc_drop: maximum drop of the AUROC of any generator, under any perturbation that both were evaluated under.
        found_drop: maximum drop of the share of any generator called `generated`, each at its own threshold.
        false_positives: maximum false-positive rate at 95 % confidence: the upper bound must not exceed it, so too few
            real images are a refusal too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc_drop: float = Field(0.02, ge=0, le=1)
    found_drop: float = Field(0.1, ge=0, le=1)
    false_positives: float = Field(0.01, gt=0, lt=1)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: a generator and a perturbation, or the real images.
        figure: name of the metric; AUROC and the share found are estimates, false positives an upper bound.
        old: value of the other version; None if there is none.
        new: value of the candidate.
        bound: minimum of `new`, or for false positives its maximum; None if there is no limit.
        holds: whether the limit holds.
        note: a remark; empty if there is none.
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
    """The decision of the gate.

    Attributes:
        rows: one per comparison.
        against: what the candidate was compared with; empty if there was nothing.
    """

    rows: list[Row]
    against: str = ""

    @property
    def passed(self) -> bool:
        """Whether the candidate may be promoted."""
        return all(row.holds for row in self.rows)

    @property
    def refusals(self) -> list[Row]:
        """The comparisons whose limit does not hold."""
        return [row for row in self.rows if not row.holds]

    def __str__(self) -> str:
        """Summarise the decision in a line."""
        bound = [row for row in self.rows if row.bound is not None]
        against = f"compared with {self.against}" if self.against else "compared with nothing"
        if self.passed:
            few = sum(bool(row.note) for row in bound if row.figure != FALSE_POSITIVE_BOUND)
            weak = f" ({few} on too few images to show a drop of that size)" if few else ""
            return f"{against}, {'all ' if len(bound) > 1 else ''}{len(bound)} of {len(bound)} bounds hold{weak}"
        worst = "; ".join(
            f"{row.what}: {row.figure} {row.new:.3f}, bound {row.bound:.3f}{f' ({row.note})' if row.note else ''}"
            for row in self.refusals
            if row.bound is not None
        )
        return f"{against}, {len(self.refusals)} of {len(bound)} bounds fail: {worst}"


def compare(candidate: Evaluation, other: Evaluation | None, bounds: Bounds, *, against: str = "") -> Decision:
    """Compare a candidate with the version it would replace.

    Args:
        candidate: its evaluation.
        other: evaluation of the other version on the same images; None if there is none.
        bounds: limits for the candidate.
        against: description of the other version.
    """
    known = {(row.generator, row.delivery): row for row in other.rows} if other else {}
    rows: list[Row] = []
    for new in candidate.rows:
        old = known.get((new.generator, new.delivery))
        rows.append(_within_drop(new, "AUROC", (old.auroc if old else None, new.auroc), bounds.auroc_drop))
        if new.delivery == ORIGINAL:
            found = (old.found.share if old else None, new.found.share)
            rows.append(_within_drop(new, "called generated", found, bounds.found_drop))
    alarms = candidate.metrics(OVERALL, ORIGINAL).alarms
    before = other.metrics(OVERALL, ORIGINAL).alarms if other else None
    rows += _collections(candidate, other)
    return Decision([*rows, _false_positives(alarms, before, bounds.false_positives)], against)


def _within_drop(row: GeneratorMetrics, figure: str, pair: tuple[float | None, float], drop: float) -> Row:
    """Compare an estimate with the other version's, less the maximum drop."""
    old, new = pair
    bound = None if old is None else max(0.0, old - drop)
    kind = " (reconstructions)" if row.reconstruction else ""
    needed = math.ceil(1 / drop) if drop else 0
    images = row.fakes if figure != "AUROC" else min(row.fakes, row.reals)
    note = f"few: 1 of {images:,} images is {1 / images:.3f}" if images < needed and bound is not None else ""
    holds = bound is None or new >= bound
    return Row(f"{row.generator}{kind}, {shown_name(row.delivery)}", figure, old, new, bound, holds, note)


def _collections(candidate: Evaluation, other: Evaluation | None) -> Sequence[Row]:
    """List the share of each real collection that is called generated; without a limit, since each is small."""
    before = {row.source: row.alarms.share for row in other.reals if row.delivery == ORIGINAL} if other else {}
    return [
        Row(f"{row.source}, real", "called generated", before.get(row.source), row.alarms.share, None, holds=True)
        for row in candidate.reals
        if row.delivery == ORIGINAL
    ]


def _false_positives(new: Rate, old: Rate | None, allowed: float) -> Row:
    """Compare the upper bound of a candidate's false-positive rate with the maximum."""
    what = f"all reals, original: {new.hits} of {new.images}, {new.share:.1%}"
    upper = upper_bound(new.hits, new.images)
    holds, note = upper <= allowed, ""
    if not holds:
        needed = reals_to_demonstrate(new.hits, new.images, allowed)
        why = (
            f"at this share {needed:,} real images are needed"
            if needed
            else "the measured share alone is not below the limit"
        )
        note = f"upper bound {_round_up(upper):g}; {why}"
    return Row(
        what, FALSE_POSITIVE_BOUND, upper_bound(old.hits, old.images) if old else None, upper, allowed, holds, note
    )


def _round_up(bound: float) -> float:
    """Round a bound up, so that the rounded bound holds too."""
    return math.ceil(10_000 * bound) / 10_000
