"""Scan: find AI-generated images in shards, listings and folders; every image gets exactly one verdict."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from pipeline.notice import heeded
from pipeline.run import Record
from pipeline.scan.flow import Summary, scan
from pipeline.scan.table.ledger import pattern
from pipeline.scan.table.shelf import opened
from pipeline.settings import ScanSettings
from pipeline.telemetry import Ticker, command, quiet_ray


@command
def main(arguments: list[str]) -> int:
    """Run one scan from the command line.

    Returns:
        The exit code: 0 every row written, 2 settings, 3 storage, 4 model, 5 law broken, 7 held by another run,
        130 interrupted, 143 SIGTERM.
    """
    settings = ScanSettings.from_command_line(arguments)
    quiet_ray(logs=settings.ray_logs)
    ticker = Ticker()
    with Record("scan", settings, ticker) as record, heeded(ticker.say, asked=settings.spot_notice):
        record.begin(opened(settings.sink, settings.output).output)
        summary = scan(settings, ticker)
        record.succeed(dataclasses.asdict(summary))
    if not record.exit_code:
        if settings.json_summary:
            print(json.dumps(dataclasses.asdict(summary) | {"run": record.url}), flush=True)
        else:
            show(summary, Console())
    record.tell()
    return record.exit_code


def show(summary: Summary, console: Console) -> None:
    """Print what was found, how fast, where it is, and a query to try."""
    table = Table(title=None, box=None, pad_edge=False)
    table.add_column("verdict or fault")
    table.add_column("images", justify="right")
    faults = {status: rows for status, rows in summary.statuses.items() if status != "ok"}
    for name, rows in (summary.verdicts | faults).items():
        table.add_row(name, f"{rows:,}")
    console.print(table)
    rate = f", {summary.written / summary.seconds:,.1f} images/s with start-up" if summary.written else ""
    console.print(f"{summary.written:,} rows written in {summary.seconds:,.1f} s{rate}", highlight=False)
    if summary.skipped:
        hint = f", {summary.shards_skipped:,} of them shards: name those as a source" if summary.shards_skipped else ""
        console.print(
            f"passed over since their name is no image's: {summary.skipped:,} (--all-files tries them){hint}",
            highlight=False,
        )
    if summary.hidden:
        console.print(
            f"passed over since their name begins with a dot: {summary.hidden:,} (--all-files tries them)",
            highlight=False,
        )
    if summary.repaired:
        console.print(f"{summary.repaired:,} rows stood there twice and were taken out", highlight=False)
    law = "each image exactly one row: kept" if summary.law == "kept" else "not finished; run it again to go on"
    console.print(f"law: {summary.images:,} images in {summary.units:,} units, {law}", highlight=False)
    console.print(f"table: {summary.table}", highlight=False, soft_wrap=True)
    files = pattern(summary.table, "*.parquet")
    query = f"SELECT verdict, key, probability FROM {files} ORDER BY probability DESC LIMIT 5"
    command = f'python -c "import duckdb; duckdb.sql(\\"{query}\\").show()"'
    console.print(f"try: {command}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
