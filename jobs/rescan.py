"""Rescan: score images of a verdict table again, with a new model or because they could not be read."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import shlex
import sys

from rich.console import Console
from rich.table import Table

from pipeline.command.run_record import Record
from pipeline.runtime.invocation import command_for
from pipeline.runtime.spot_termination import spot_notice_handler
from pipeline.scan.rescan import RescanResult, rescan
from pipeline.scan.settings import RescanSettings
from pipeline.scan.table.views import require_table
from pipeline.telemetry.printable import counted, format_probability
from pipeline.telemetry.terminal import ProgressDisplay, command, results


@command
def main(arguments: list[str]) -> int:
    """Run one rescan from the command line.

    Returns:
        The exit code: 0 every row written, 2 settings, 3 storage, 4 model, 5 completeness check, 7 another run,
        130 interrupted, 143 SIGTERM.
    """
    settings = RescanSettings.from_command_line(arguments)
    progress = ProgressDisplay()
    with (
        Record("rescan", settings, progress) as record,
        spot_notice_handler(progress.log, enabled=settings.spot_notice),
    ):
        require_table(settings.table)  # before the run record creates the folder of a mistyped name
        record.begin(settings.table)
        found = rescan(settings, progress)
        record.succeed(dataclasses.asdict(found))
    if not record.exit_code:
        if settings.json_summary:
            print(json.dumps(dataclasses.asdict(found) | {"run": record.url}), flush=True)
        else:
            show(found, settings, results())
    record.log_location()
    return record.exit_code


def show(found: RescanResult, settings: RescanSettings, console: Console) -> None:
    """Print the outcomes of the selected images, and the bytes read for them."""

    def log(line: str) -> None:
        """Print a line as it is."""
        console.print(line, highlight=False, markup=False)

    table = Table(title=None, box=None, pad_edge=False)
    for name in ("before", "now"):
        table.add_column(name)
    table.add_column("images", justify="right")
    for turn in found.turns:
        table.add_row(turn.before, turn.after, f"{turn.images:,}")
    console.print(table)
    low, high = map(format_probability, found.thresholds)
    log(
        f"generated: a probability from {high} up; real: below {low}; unsure: between them "
        f"(probabilities assume that {settings.prevalence:.3g} of the images are generated)"
    )
    log(f"{counted(found.written, 'row')} written in {found.seconds:,.1f} s")
    selected = f"{counted(found.chosen, 'image')} of {found.image_bytes:,} bytes selected"
    amplification = f" (read amplification {found.read_bytes / found.image_bytes:.2f})" if found.image_bytes else ""
    log(f"{selected}; {found.read_bytes:,} bytes read{amplification}")
    if found.repaired:
        log(f"replaced {counted(found.repaired, 'older row')} of the same images")
    if found.stopped is None:
        log("completeness check passed: each selected image has exactly one row of this model")
    else:
        left = counted(found.left, "image")
        log(f"not complete: {found.stopped} ended this run; {left} left; run the same command again to continue")
    console.print(f"table: {settings.table}", highlight=False, markup=False, soft_wrap=True)
    page = f"{command_for('report')} {shlex.quote(settings.table)}"
    console.print(f"a page of what is known now: {page}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
