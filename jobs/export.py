"""Export: write chosen images of a verdict table, with their rows and labels, as WebDataset shards."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from rich.console import Console

from pipeline.review.export import MISSING, Exported, ExportSettings, export
from pipeline.run import Record
from pipeline.scan.table.views import demand_table
from pipeline.telemetry import Ticker, command, results


@command
def main(arguments: list[str]) -> int:
    """Run one export from the command line.

    Returns:
        The exit code: 0 exported, 2 settings, 3 storage, 5 an image lost or written twice, 7 held by another run, 130
        interrupted, 143 SIGTERM.
    """
    settings = ExportSettings.from_command_line(arguments)
    ticker = Ticker()
    with Record("export", settings, ticker) as record:
        demand_table(settings.table)  # a record is left beside shards, never beside what comes of a typo
        record.begin(settings.output)
        found = export(settings, ticker.say)
        record.succeed(found.model_dump())
    if not record.exit_code:
        if settings.json_summary:
            print(found.model_dump_json(), flush=True)
        else:
            show(found, results())
    record.tell()
    return record.exit_code


def show(found: Exported, console: Console) -> None:
    """Print what was exported, and what could not be."""
    console.print(
        f"{found.images:,} images in {found.shards:,} shards: {found.output}", highlight=False, soft_wrap=True
    )
    if found.missing:
        lost = f"{found.missing:,} images have no bytes, or other ones than were judged"
        console.print(f"{lost}: {found.output}/{MISSING}", highlight=False, soft_wrap=True)
    console.print("each chosen image is in one shard, or listed as missing: checked", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
