"""Promote: let a version of a registry replace the promoted one if it is not worse, or roll a promotion back."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys
from dataclasses import asdict

from rich.table import Table

from mole.errors import RefusedError
from pipeline.promotion_record import Promotion
from pipeline.telemetry.terminal import ProgressDisplay, command, results
from pipeline.tune.evaluation.promote import PromoteSettings, PromotionResult, promote, roll_back


@command
def main(arguments: list[str]) -> int:
    """Run one promotion from the command line.

    Returns:
        The exit code: 0 promoted or rolled back, 2 settings, 3 storage, 4 model, 6 the gate refuses.
    """
    settings = PromoteSettings.from_command_line(arguments)
    with ProgressDisplay("promote") as progress:
        if settings.rollback:
            print_promotion(roll_back(settings), as_json=settings.json_summary)
            return 0
        result = promote(settings, progress.log)
    if settings.json_summary:
        print(json.dumps(summary(result)))
    else:
        show(result)
    if result.promotion is None:
        progress.log(f"refused: {result.decision}", "error", exit_code=RefusedError.exit_code)
        return RefusedError.exit_code
    if not settings.json_summary:
        print_promotion(result.promotion, as_json=False)
    return 0


def summary(result: PromotionResult) -> dict[str, object]:
    """Build the JSON summary."""
    return {
        "passed": result.decision.passed,
        "against": result.decision.against or None,
        "images": result.images,
        "rows": [asdict(row) for row in result.decision.rows],
        "notes": result.notes,
        "promotion": result.promotion.model_dump(mode="json") if result.promotion else None,
    }


def show(result: PromotionResult) -> None:
    """Print every comparison, and the remarks on them."""
    console, against = results(), result.decision.against or "nothing"
    console.print(f"{result.images:,} images; compared with {against}", highlight=False, soft_wrap=True)
    table = Table("on", "figure", "other", "candidate", "bound", "", "", box=None, pad_edge=False)
    for row in result.decision.rows:
        old, bound = ("" if value is None else f"{value:.3f}" for value in (row.old, row.bound))
        table.add_row(row.what, row.figure, old, f"{row.new:.3f}", bound, "" if row.holds else "FAILS", row.note)
    console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)


def print_promotion(entry: Promotion, *, as_json: bool) -> None:
    """Print what is promoted now."""
    print(entry.model_dump_json() if as_json else f"promoted: {entry.digest} (number {entry.number}: {entry.reason})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
