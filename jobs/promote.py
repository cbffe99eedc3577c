"""Promote: let a better version of a registry replace the promoted one, or take the last promotion back."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys
from dataclasses import asdict

from rich.table import Table

from mole.errors import MoleError, RefusedError
from pipeline.registry import Promotion, Registry
from pipeline.telemetry import command, quiet_ray, results
from pipeline.tune.judging.promote import PromoteSettings, Verdict, promote


@command
def main(arguments: list[str]) -> int:
    """Run one promotion from the command line.

    Returns:
        The exit code: 0 promoted or rolled back, 2 settings, 3 storage, 4 model, 6 the gate refuses.
    """
    try:
        settings = PromoteSettings.from_command_line(arguments)
        quiet_ray(logs=settings.ray_logs)
        if settings.rollback:
            told(Registry(settings.registry).roll_back(), as_json=settings.json_summary)
            return 0
        verdict = promote(settings, say)
    except MoleError as reason:
        say(f"{type(reason).__name__}: {reason}")
        return reason.exit_code
    if settings.json_summary:
        rows = [asdict(row) for row in verdict.decision.rows]
        entry = verdict.promotion.model_dump(mode="json") if verdict.promotion else None
        print(
            json.dumps({"passed": verdict.decision.passed, "images": verdict.images, "rows": rows, "promotion": entry})
        )
    else:
        show(verdict)
    if verdict.promotion is None:
        say(f"refused: {verdict.decision}")
        return RefusedError.exit_code
    if not settings.json_summary:
        told(verdict.promotion, as_json=False)
    return 0


def show(verdict: Verdict) -> None:
    """Print every comparison."""
    table = Table("on", "figure", "promoted", "candidate", "bound", "", title=f"{verdict.images:,} images")
    for row in verdict.decision.rows:
        old, bound = ("" if value is None else f"{value:.3f}" for value in (row.old, row.bound))
        table.add_row(row.what, row.figure, old, f"{row.new:.3f}", bound, "" if row.holds else "FAILS")
    results().print(table)


def told(entry: Promotion, *, as_json: bool) -> None:
    """Print what is promoted now."""
    print(entry.model_dump_json() if as_json else f"promoted: {entry.digest} (number {entry.number}: {entry.reason})")


def say(line: str) -> None:
    """Tell what goes on, apart from the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
