"""Tables: query a verdict table through its views: current verdicts, faults, changes, progress of models, runs."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys
from datetime import datetime

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.scan.settings import TablesSettings
from pipeline.scan.table.views import ask, open_views
from pipeline.telemetry.printable import counted, format_probability, printable
from pipeline.telemetry.terminal import command, results

SHOWN_COLUMNS = {
    "current": ("key", "verdict", "probability", "status", "uri", "model", "scanned_at"),
    "verdicts": ("key", "verdict", "probability", "status", "uri", "model", "scanned_at"),
    "evidence": ("key", "verdict", "probability", "declared", "contradicted", "provenance", "uri", "model"),
    "faults": ("key", "status", "detail", "uri"),
    "changed": ("key", "former_verdict", "verdict", "former_probability", "probability", "former_model", "model"),
    "runs": ("id", "job", "started", "seconds", "exit_code", "written", "faults", "submission", "error"),
}
"""The columns of a view that are shown; --json prints all of them."""
DIGEST = 12
PROGRESS = "progress"
"""The default view."""


@command
def main(arguments: list[str]) -> int:
    """Run one query from the command line.

    Returns:
        The exit code: 0 shown, 2 settings, 3 storage, 130 interrupted, 143 SIGTERM.
    """
    settings = TablesSettings.from_command_line(arguments)
    if settings.database is not None:
        with open_views(settings.table, str(settings.database)):
            print(f"views: {settings.database}")
        return 0
    limit = settings.limit
    answer = ask(settings.table, settings.sql or f"FROM {settings.view or PROGRESS}", limit=limit and limit + 1)
    is_cut, answer = 0 < limit < answer.num_rows, answer.slice(0, limit or None)
    if settings.json_rows:
        for row in answer.to_pylist():
            print(json.dumps(row, default=to_json))
    else:
        show(answer if settings.sql else select_columns(answer, settings.view or PROGRESS), results(), is_cut=is_cut)
    return 0


def select_columns(answer: pa.Table, view: str) -> pa.Table:
    """Select the columns of a view that are shown, without those that are all null."""
    columns = SHOWN_COLUMNS.get(view, answer.column_names)
    return answer.select([name for name in columns if answer[name].null_count < answer.num_rows])


def show(answer: pa.Table, console: Console, *, is_cut: bool = False) -> None:
    """Print rows as a table, and tell where `--limit` left out others."""
    table = Table(*answer.column_names, box=None, pad_edge=False)
    for row in answer.to_pylist():
        table.add_row(*(Text(cell(name, row[name])) for name in answer.column_names))
    console.print(table)
    more = "; there are more, and --limit 0 shows all" if is_cut else ""
    console.print(f"{counted(answer.num_rows, 'row')}{more}", highlight=False)


def to_json(value: object) -> str:
    """Convert what JSON lacks: bytes, such as a content hash, to hex, and times to text."""
    return value.hex() if isinstance(value, bytes) else str(value)


def cell(name: str, value: object) -> str:
    """Format a value for people: few digits, a digest's beginning, a time to the second."""
    if name.endswith("model"):
        return str(value)[:DIGEST]
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return format_probability(value) if name.endswith("probability") and 0 < value < 1 else f"{value:.3f}"
    if isinstance(value, dict):
        return ": ".join(str(part) for part in value.values() if part is not None)
    if isinstance(value, bytes):
        return value.hex()
    return "" if value is None else printable(str(value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
