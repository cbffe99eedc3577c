"""Rescan: judge images of a verdict table again, with a better model or because they could not be read."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from pipeline.command.run import Record
from pipeline.runtime import cluster
from pipeline.runtime.notice import heeded
from pipeline.scan.rescan import Rescanned, rescan
from pipeline.scan.settings import RescanSettings
from pipeline.scan.table.views import demand_table
from pipeline.telemetry.printable import probable
from pipeline.telemetry.terminal import Ticker, command, results


@command
def main(arguments: list[str]) -> int:
    """Run one rescan from the command line.

    Returns:
        The exit code: 0 every row written, 2 settings, 3 storage, 4 model, 5 law broken, 7 held by another run,
        130 interrupted, 143 SIGTERM.
    """
    settings = RescanSettings.from_command_line(arguments)
    cluster.quiet(logs=settings.ray_logs)
    ticker = Ticker()
    with Record("rescan", settings, ticker) as record, heeded(ticker.say, asked=settings.spot_notice):
        demand_table(settings.table)  # a record is left beside a table, never beside a name with a typo
        record.begin(settings.table)
        found = rescan(settings, ticker)
        record.succeed(dataclasses.asdict(found))
    if not record.exit_code:
        if settings.json_summary:
            print(json.dumps(dataclasses.asdict(found) | {"run": record.url}), flush=True)
        else:
            show(found, settings, results())
    record.tell()
    return record.exit_code


def show(found: Rescanned, settings: RescanSettings, console: Console) -> None:
    """Print what became of the chosen images, and what it took to read them."""

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    table = Table(title=None, box=None, pad_edge=False)
    for name in ("before", "now"):
        table.add_column(name)
    table.add_column("images", justify="right")
    for turn in found.turns:
        table.add_row(turn.before, turn.after, f"{turn.images:,}")
    console.print(table)
    low, high = map(probable, found.thresholds)
    log(
        f"generated: a probability from {high} up; real: below {low}; unsure: between them "
        f"(probabilities assume that {settings.prevalence:.3g} of the images are generated)"
    )
    log(f"{found.written:,} rows written in {found.seconds:,.1f} s")
    share = f", {found.read_bytes / found.image_bytes:.2f} for each of theirs" if found.image_bytes else ""
    log(f"{found.chosen:,} images of {found.image_bytes:,} bytes chosen; {found.read_bytes:,} bytes read{share}")
    if found.repaired:
        log(f"{found.repaired:,} older rows of the same images were taken out")
    if found.stopped is None:
        log("complete: each chosen image has exactly one row of this model")
    else:
        log(f"not complete: {found.stopped} ended this run; {found.left:,} images are left; the same command goes on")
    console.print(f"table: {found.table}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
