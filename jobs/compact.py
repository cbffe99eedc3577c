"""Compact: merge the small files of a verdict table, while others read it."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from pipeline.command.run_record import Record
from pipeline.scan.settings import CompactSettings
from pipeline.scan.table.compact import Compacted, compact
from pipeline.scan.table.views import require_table
from pipeline.telemetry.printable import counted
from pipeline.telemetry.terminal import ProgressDisplay, command, results


@command
def main(arguments: list[str]) -> int:
    """Run one compaction from the command line.

    Returns:
        The exit code: 0 done, 2 settings, 3 storage, 5 rows of a merged file, 7 another run,
        130 interrupted, 143 SIGTERM.
    """
    settings = CompactSettings.from_command_line(arguments)
    with Record("compact", settings, ProgressDisplay()) as record:
        require_table(settings.table)
        record.begin(settings.table)
        found = compact(settings)
        record.succeed({"models": [dataclasses.asdict(one) for one in found]})
    if not record.exit_code:
        if settings.json_summary:
            print(json.dumps([dataclasses.asdict(one) for one in found]), flush=True)
        else:
            show(found, results())
    record.log_location()
    return record.exit_code


def show(found: list[Compacted], console: Console) -> None:
    """Print the number of files of each model, before and after."""
    table = Table(title=None, box=None, pad_edge=False)
    table.add_column("model")
    for name in ("rows", "files before", "files now"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(one.model, f"{one.rows:,}", f"{one.before:,}", f"{one.after:,}")
    console.print(table)
    if repaired := sum(one.repaired for one in found):
        console.print(f"removed {counted(repaired, 'duplicate row')}", highlight=False)
    if all(one.before == one.after for one in found):
        console.print("nothing to merge", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
