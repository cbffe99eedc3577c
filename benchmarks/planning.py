"""Planning: time and memory of planning a source of 10^6, 10^7 and 10^8 listed images.

    python -m benchmarks.planning [--sizes 1e6 1e7 1e8] [--every 2]

Each size is planned by a process of its own, from a synthetic S3 Inventory (Parquet, a million keys a file; the files
are hard links to one), with a verdict table that has every second file's images (only the columns that planning reads).
Memory must not grow with the source.
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

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import VERDICT
from pipeline.scan.plan import Plan
from pipeline.scan.reading.source import Source
from pipeline.scan.table.ledger import Ledger

KEYS_A_FILE = 1_000_000
WIDTHS = (13, 13, 7, 7, 7, 7, 7, 9)
ROWS = """
    SELECT unit, "index"::INTEGER AS "index", "index" = images - 1 AS "last", 'ok' AS status, 'real' AS verdict,
           TIMESTAMPTZ '2026-11-01' AS scanned_at
    FROM slices, range(images) AS numbers("index")
"""


def main(arguments: list[str]) -> None:
    """Plan each size, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=float, default=[1e6, 1e7, 1e8])
    parser.add_argument("--every", type=int, default=2, help="the table has the images of every second file, or of all")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        measure(Path(given.one))
        return
    names = ("images", "in table", "units", "to do", "list s", "join s", "todo s", "peak MiB")
    print(" ".join(f"{name:>{width}}" for name, width in zip(names, WIDTHS, strict=True)))
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), int(size), given.every)
            command = [sys.executable, "-m", "benchmarks.planning", "--one", folder]
            took = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        counts = [f"{count:,}" for count in (int(size), took["rows"], took["units"], took["open"])]
        seconds = [f"{took[name]:.1f}" for name in ("list", "join", "todo")]
        cells = [*counts, *seconds, f"{took['peak']:,.0f}"]
        print(" ".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)))
    print(f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


def write(folder: Path, images: int, every: int) -> None:
    """Write an inventory of `images` images, and a table that has those of one in `every` files."""
    data, table = folder / "data", folder / "model=m"
    data.mkdir()
    table.mkdir()
    (folder / "now").mkdir()
    files = max(1, images // KEYS_A_FILE)
    with duckdb.connect() as database:
        database.execute(f"""
            COPY (
                SELECT 'crawl' AS bucket, 'photos/' || md5(number::VARCHAR) || '.jpg' AS key, 150000 AS size,
                       true AS is_latest, false AS is_delete_marker, md5(key) AS e_tag
                FROM range({min(images, KEYS_A_FILE)}) AS numbers(number)
            ) TO '{data / "0.parquet"}' (FORMAT parquet, COMPRESSION zstd)
        """)
        for number in range(1, files):
            os.link(data / "0.parquet", data / f"{number}.parquet")
        names = [{"key": f"data/{number}.parquet"} for number in range(files)]
        content = {"fileFormat": "Parquet", "destinationBucket": "reports", "fileSchema": "", "files": names}
        (folder / "now" / "manifest.json").write_text(json.dumps(content))
        one = [(unit.name.partition("data/0.parquet"), unit.images) for unit in Source([manifest(folder)]).units()][
            :244
        ]
        for number in range(0, files, every):
            slices = pa.table(
                {
                    "unit": [f"{head}data/{number}.parquet{tail}" for (head, _, tail), _ in one],
                    "images": [count for _, count in one],
                }
            )
            database.register("slices", slices)
            rows = database.sql(ROWS).to_arrow_table()
            pq.write_table(
                rows.replace_schema_metadata(VERDICT.metadata), table / f"{number}.parquet", compression="zstd"
            )


def manifest(folder: Path) -> str:
    """Return the path of an inventory's manifest."""
    return str(folder / "now" / "manifest.json")


def measure(folder: Path) -> None:
    """Plan the inventory of a folder, and print time and memory as JSON."""
    begun = time.perf_counter()
    ledger = Ledger(str(folder / "model=m"))
    with Plan(Source([manifest(folder)]).units(), []) as plan:
        listed = time.perf_counter()
        plan.ledgers.append(ledger)
        plan.refresh()
        joined = time.perf_counter()
        opened = sum(1 for _ in plan.todo(ledger))
        done = time.perf_counter()
        checked = plan.check(ledger)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {"list": listed - begun, "join": joined - listed, "todo": done - joined}
    print(json.dumps(seconds | {"units": checked.units, "rows": checked.images, "open": opened, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1:])
