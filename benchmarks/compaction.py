"""Compaction: seconds, core seconds a million rows and peak memory, for tables of many small parts.

    python -m benchmarks.compaction [--rows 1e6 --parts 100]

Tables are those of `benchmarks.report`, with one model. A compaction locks scans of its table out, so what counts is
the share of a scan's time that merging what it wrote takes.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.report import write

EVERY = 0.02
MIB = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--parts", type=int, nargs="*", default=[100])
    given = parser.parse_args()
    rows = int(given.rows)
    for parts in given.parts:
        with tempfile.TemporaryDirectory() as place:
            table = Path(place) / "verdicts"
            write(table, rows, parts, 1)
            before = sizes(table)
            seconds, core_s, peak = run(table)
            after = sizes(table)
        print(
            f"{rows:,} rows, {len(before):,} parts of {sum(before) / rows:.1f} bytes a row: {len(after):,} of "
            f"{sum(after) / rows:.1f} after {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
            f"{core_s * 1e6 / rows:.1f} core seconds a million, {peak / MIB:,.0f} MiB"
        )
    print(f"{platform.machine()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


def sizes(table: Path) -> list[int]:
    """Return the bytes of each part."""
    return [path.stat().st_size for path in table.glob("model=*/*.parquet")]


def run(table: Path) -> tuple[float, float, int]:
    """Run the command without waiting for readers; seconds, core seconds, and the most bytes that it held."""
    begun = time.perf_counter()
    command = [sys.executable, "jobs/compact.py", str(table), "--grace", "0", "--json"]
    process, peak, core_s = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0, 0.0
    while process.poll() is None:
        try:
            peak, times = max(peak, process.memory_info().rss), process.cpu_times()
            core_s = times.user + times.system
        except psutil.Error:
            break
        time.sleep(EVERY)
    if code := process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return time.perf_counter() - begun, core_s, peak


if __name__ == "__main__":
    main()
