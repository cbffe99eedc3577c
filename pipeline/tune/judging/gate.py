"""The gate: whether a candidate may replace what is promoted, judged on the same images, row by row."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from mole.metrics import Rate
from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.logits import OVERALL
from pipeline.tune.judging.perturbation import SHIPPED

SURELY = "false positives, at least"
"""The low end of their exact 95 % interval."""


class Bounds(BaseModel):
    """What a candidate may lose.

    Attributes:
        auroc_drop: most that any generator's AUROC may fall, in any delivery that both were judged in.
        found_drop: most that the share called `generated` of any generator may fall, each at its own threshold.
        false_positives: share of reals called `generated` that a candidate may have; more is allowed only as far as
            what is promoted has more itself. Refused where the exact 95 % interval lies above it.
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
        figure: which figure.
        old: of what is promoted; None where nothing is, or where it does not know the generator.
        new: of the candidate.
        bound: what `new` must not fall below, or for false positives not lie above; None where nothing binds.
        holds: whether it does not.
    """

    what: str
    figure: str
    old: float | None
    new: float
    bound: float | None
    holds: bool


@dataclass(frozen=True)
class Decision:
    """Every comparison, and what follows."""

    rows: list[Row]

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
        if self.passed:
            return f"all {len(self.rows)} comparisons hold"
        worst = "; ".join(
            f"{row.what}: {row.figure} {row.new:.3f}, bound {row.bound:.3f}"
            for row in self.refusals
            if row.bound is not None
        )
        return f"{len(self.refusals)} of {len(self.rows)} comparisons fail: {worst}"


def judge(candidate: Evaluation, promoted: Evaluation | None, bounds: Bounds) -> Decision:
    """Compare a candidate with what is promoted.

    Args:
        candidate: its figures.
        promoted: figures of the promoted version on the same images; None where nothing is promoted yet.
        bounds: what the candidate may lose.
    """
    known = {(row.generator, row.delivery): row for row in promoted.rows} if promoted else {}
    rows: list[Row] = []
    for new in candidate.rows:
        old = known.get((new.generator, new.delivery))
        what = f"{new.generator}, {new.delivery}"
        rows.append(_kept(what, "AUROC", (old.auroc if old else None, new.auroc), bounds.auroc_drop))
        if new.delivery == SHIPPED:
            found = (old.found.share if old else None, new.found.share)
            rows.append(_kept(what, "called generated", found, bounds.found_drop))
    alarms = candidate.figures(OVERALL, SHIPPED).alarms
    before = promoted.figures(OVERALL, SHIPPED).alarms if promoted else None
    return Decision([*rows, _false_positives(alarms, before, bounds.false_positives)])


def _kept(what: str, figure: str, pair: tuple[float | None, float], drop: float) -> Row:
    old, new = pair
    bound = None if old is None else old - drop
    return Row(what, figure, old, new, bound, bound is None or new >= bound)


def _false_positives(new: Rate, old: Rate | None, allowed: float) -> Row:
    bound = max(allowed, old.share if old else 0.0)
    what = f"all reals, shipped: {new.hits} of {new.images}, {new.share:.1%}"
    return Row(what, SURELY, old.low if old else None, new.low, bound, new.low <= bound)
