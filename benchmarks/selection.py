"""Selecting: time, memory and read amplification of a rescan's query, before any image is read.

    python -m benchmarks.selection [--rows 1e7] [--parts 200] [--models 1]

The table is synthetic, that of `benchmarks.report`: half of its images are in shards of 10,000, half in slices of a
listing. Each query runs in a process of its own and writes its listing of places and byte ranges.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.report import write
from pipeline.scan.table.selection import SelectionQuery, select_images
from pipeline.scan.table.views import open_views

NEW = "a-model-without-rows"
QUERIES: dict[str, dict[str, Any]] = {
    "--sample 0.01": {"sample": 0.01},
    "--where of 1 %, spread": {"where": "probability BETWEEN 0.30 AND 0.345"},
    "--where of 1 %, whole shards": {"where": "unit BETWEEN '/lake/crawl/000100' AND '/lake/crawl/000120'"},
    "--where of all faults": {"where": "status <> 'ok'"},
    "everything": {},
}


def main(arguments: list[str]) -> None:
    """Run each query, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--queries", nargs="+", default=list(QUERIES), metavar="QUERY")
    parser.add_argument("--keep", help="leave the table here, and take the one that is there already")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        measure(*given.one)
        return
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(given.keep or Path(temporary) / "table")
        if not table.exists():
            write(table, int(given.rows), given.parts, given.models)
        size = sum(file.stat().st_size for file in table.rglob("*.parquet"))
        print(f"{int(given.rows):,} rows of {given.models} models in {given.parts} parts each, {size / 1e6:,.0f} MB")
        print(f"{'query':>30} {'images':>10} {'seconds':>8} {'peak MiB':>9} {'read / wanted':>14}")
        for name in given.queries:
            command = [sys.executable, "-m", "benchmarks.selection", "--one", str(table), name]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            cost = f"{told['seconds']:>8.1f} {told['peak']:>9,.0f}"
            print(f"{name:>30} {told['images']:>10,} {cost} {told['share']:>14.3f}", flush=True)
    print(f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


def measure(table: str, name: str) -> None:
    """Select the images of a query, and print what it took as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with open_views(table) as views:
            made = select_images(views, SelectionQuery((NEW,), **QUERIES[name]), f"{folder}/listing.parquet")
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = made.read_bytes / made.image_bytes
    print(json.dumps({"images": made.images, "seconds": seconds, "peak": peak, "share": share}))


if __name__ == "__main__":
    main(sys.argv[1:])
