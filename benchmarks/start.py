"""Start: the fixed time of a scan, from the command to its first verdict and to its end, for few images.

    python -m benchmarks.start                       # the embedded detector
    python -m benchmarks.start --source PHOTOS/      # the first images of a folder of one's own

Each size is run in turn, several times over: in the command's own process, as a small source is, and on a local Ray.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import ray
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.scan import pictures
from pipeline.scan.reading.source import Source

SIZES = (1, 100)
WAYS: dict[str, Sequence[str]] = {"this process": (), "Ray": ("--num-actors", "1")}
"""Flags of a scan that runs there."""
ROWS = 16
"""Rows a part, so that the first verdict does not wait for the last."""
EVERY = 0.05


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="a folder of images; drawn ones where not given")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    taken: dict[tuple[int, str], list[tuple[float, float]]] = {(size, way): [] for size in SIZES for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        listings = {size: listing_of(folder, given.source, size) for size in SIZES}
        for number in range(given.rounds):
            for (size, way), times in taken.items():
                output = folder / f"{size}-{number}-{len(way)}"
                times.append(measure(listings[size], output, given.model, WAYS[way]))
    table = Table("images", "where", "first verdict, s", "whole command, s", "slowest - fastest")
    for (size, way), pairs in taken.items():
        firsts, wholes = ([pair[place] for pair in pairs] for place in (0, 1))
        spread = f"{max(wholes):.1f} - {min(wholes):.1f}"
        table.add_row(str(size), way, f"{statistics.median(firsts):.1f}", f"{statistics.median(wholes):.1f}", spread)
    Console().print(table)
    versions = f"torch {torch.__version__}, ray {ray.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}, {datetime.now(UTC):%Y-%m-%d}")


def listing_of(folder: Path, source: str | None, size: int) -> Path:
    """Write a listing of some images."""
    if source is None:
        drawn = folder / f"pictures-{size}"
        drawn.mkdir()
        pictures(drawn, size, (1024, 768))
        found = [str(path) for path in sorted(drawn.glob("*.jpg"))]
    else:
        found = [unit.uri for unit in Source([source], all_files=False).units()][:size]
    listing = folder / f"{size}.txt"
    listing.write_text("\n".join(found))
    return listing


def measure(listing: Path, output: Path, model: str, flags: Sequence[str]) -> tuple[float, float]:
    """Run the command; seconds to the first part of the table, and to the end."""
    command = [sys.executable, "jobs/scan.py", "--source", str(listing), "--output", str(output), "--model", model]
    begun, first = time.perf_counter(), None
    run = subprocess.Popen(
        [*command, "--rows-per-file", str(ROWS), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while run.poll() is None:
        if first is None and next(output.glob("*/*.parquet"), None):
            first = time.perf_counter() - begun
        time.sleep(EVERY)
    if run.returncode or first is None:
        raise SystemExit(f"{' '.join(command)} ended with {run.returncode}")
    return first, time.perf_counter() - begun


if __name__ == "__main__":
    main()
