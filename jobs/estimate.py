"""Estimate: forecast the time, size and cost of a scan before it is started."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from pipeline.runtime.spot_termination import spot_notice_handler
from pipeline.scan.forecasting.estimate import estimate
from pipeline.scan.forecasting.forecast import GIGABYTE, Line
from pipeline.scan.settings import EstimateSettings
from pipeline.telemetry.humanize import human_duration, human_size, human_units
from pipeline.telemetry.terminal import ProgressDisplay, command, results


@command
def main(arguments: list[str]) -> int:
    """Make one forecast from the command line.

    Returns:
        The exit code: 0 done, 2 settings, 3 storage, 4 model, 130 interrupted, 143 SIGTERM.
    """
    settings = EstimateSettings.from_command_line(arguments)
    with ProgressDisplay("estimate") as progress, spot_notice_handler(progress.log, enabled=settings.spot_notice):
        lines = estimate(settings)
    if settings.json_summary:
        print(json.dumps([dataclasses.asdict(line) for line in lines]))
    else:
        show(lines, results())
    return 0


def show(lines: list[Line], console: Console) -> None:
    """Print each number, its cost, and its arithmetic."""
    table = Table(title=None, box=None, pad_edge=False)
    table.add_column("")
    table.add_column("amount", justify="right")
    table.add_column("cost", justify="right")
    table.add_column("how", overflow="fold")
    for line in lines:
        cost = f"{line.cost:,.2f}" if line.cost else ""
        table.add_row(line.what, amount(line), cost, human_units(arithmetic(line)))
    console.print(table)


def in_minutes(line: Line) -> bool:
    """Tell whether an amount is under an hour, and so shown in minutes."""
    return line.unit.endswith("-hours") and line.amount < 1


def arithmetic(line: Line) -> str:
    """Format the arithmetic of a number, in the unit of the number."""
    return line.arithmetic.replace(" s / 3,600", " s / 60") if in_minutes(line) else line.arithmetic


def amount(line: Line) -> str:
    """Format an amount for people; --json has the exact number."""
    if line.unit == "GB":
        return human_size(line.amount * GIGABYTE)
    if line.unit == "seconds":
        return human_duration(line.amount)
    if in_minutes(line):
        return f"{line.amount * 60:,.3g} {line.unit.removesuffix('-hours')}-minutes"
    number = f"{line.amount:,.0f}" if line.amount >= 100 else f"{line.amount:,.3g}"
    return f"{number} {line.unit}".rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
