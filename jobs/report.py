"""Report: write one HTML file with the results of a scan, their uncertainty, and the images worth a look."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from rich.console import Console

from pipeline.review.page.report import Report, write_report
from pipeline.review.page.settings import ReportSettings
from pipeline.review.page.wording import link
from pipeline.storage import storage
from pipeline.telemetry.humanize import human_size
from pipeline.telemetry.terminal import command, results


@command
def main(arguments: list[str]) -> int:
    """Write a report.

    Returns:
        The exit code: 0 written, 2 settings, 3 storage, 130 interrupted, 143 SIGTERM.
    """
    settings = ReportSettings.from_command_line(arguments)
    show(write_report(settings.table, settings.output, model=settings.model), results())
    return 0


def show(made: Report, console: Console) -> None:
    """Print the locations of the page and the CSV file; a local page as a link."""
    page = link(made.page) if storage.is_local(made.page) else None
    console.print(f"page: {page or made.page} ({human_size(made.size)})", highlight=False, soft_wrap=True, markup=False)
    lines = f"{made.suspicious:,} image{'' if made.suspicious == 1 else 's'}"
    console.print(f"suspicious: {made.sheet} ({lines})", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
