"""Report: a line a scenario, and the sums of all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.play import Outcome


@dataclass(frozen=True)
class Sums:
    """The sums of some scenarios, each attribute as in `Outcome`."""

    seeds: int
    struck: int
    kills: int
    resumes: int
    rows: int
    lost: int
    twice: int
    read_again: int
    in_flight: int
    broken: int

    @staticmethod
    def of(outcomes: Sequence[Outcome]) -> "Sums":
        """Add up."""
        tables = [outcome.difference for outcome in outcomes if outcome.difference is not None]
        return Sums(
            seeds=len(outcomes),
            struck=sum(outcome.struck for outcome in outcomes),
            kills=sum(outcome.kills for outcome in outcomes),
            resumes=sum(outcome.resumes for outcome in outcomes),
            rows=sum(table.rows for table in tables),
            lost=sum(table.lost for table in tables),
            twice=sum(table.twice for table in tables),
            read_again=sum(outcome.read_again for outcome in outcomes),
            in_flight=sum(outcome.in_flight for outcome in outcomes),
            broken=sum(bool(outcome.broken) for outcome in outcomes),
        )

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, {self.struck} disturbed runs, {self.kills} kills or spoilt answers, {self.resumes} "
            f"resumes, {self.rows:,} rows compared, {self.lost} lost, {self.twice} twice, {self.read_again} images "
            f"read more than once ({self.in_flight} in flight), {self.broken} seeds with a broken promise"
        )


def line(outcome: Outcome) -> str:
    """Write a scenario and what came of it."""
    table = outcome.difference
    rows = "" if table is None else f", {table.rows} rows, {table.lost} lost, {table.twice} twice"
    words = [f"{outcome.scenario}: struck {outcome.struck}, kills {outcome.kills}, exit codes {list(outcome.codes)}"]
    words += [f"    {error[:300]}" for error in outcome.errors]
    words += [f"    BROKEN: {words}" for words in outcome.broken]
    words[0] += f"{rows}, {outcome.read_again} read again of {outcome.in_flight} in flight, {outcome.seconds:,.0f} s"
    return "\n".join(words)


def as_json(outcome: Outcome) -> str:
    """Write an outcome as a line of JSON."""
    facts = {name: getattr(outcome, name) for name in ("struck", "kills", "resumes", "read_again", "in_flight")}
    facts |= {"seed": outcome.scenario.seed, "scenario": str(outcome.scenario), "codes": outcome.codes}
    return json.dumps(facts | {"seconds": outcome.seconds, "errors": outcome.errors, "broken": outcome.broken})
