"""Export: write selected images of a verdict table, with their rows and labels, as WebDataset shards."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from rich.console import Console

from pipeline.command.run_record import Record
from pipeline.review.export import MISSING, Exported, ExportSettings, export, require_exportable
from pipeline.telemetry.printable import counted
from pipeline.telemetry.terminal import ProgressDisplay, command, results


@command
def main(arguments: list[str]) -> int:
    """Run an export.

    Returns:
        The exit code: 0 exported, 2 settings, 3 storage, 5 an image lost or written twice, 7 held by another run, 130
        interrupted, 143 SIGTERM.
    """
    settings = ExportSettings.from_command_line(arguments)
    progress = ProgressDisplay()
    with Record("export", settings, progress) as record:
        asked = require_exportable(settings)  # validated before the record is written into the output
        record.begin(settings.output)
        found = export(settings, asked, progress)
        record.succeed(found.model_dump())
    if not record.exit_code:
        if settings.json_summary:
            print(found.model_dump_json(), flush=True)
        else:
            show(found, results())
    record.log_location()
    return record.exit_code


def show(found: Exported, console: Console) -> None:
    """Print the numbers of exported and missing images."""
    line = f"{counted(found.images, 'image')} in {counted(found.shards, 'shard')}: {found.output}"
    console.print(line, highlight=False, soft_wrap=True, markup=False)
    missing = ""
    if found.missing:
        lost = f"{counted(found.missing, 'image')} {'is' if found.missing == 1 else 'are'}"
        line = f"{lost} empty, missing or changed since the scan: {found.output}/{MISSING}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
        missing = f" or listed in {MISSING}"
    console.print(f"checked: every selected image is in exactly one shard{missing}", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
