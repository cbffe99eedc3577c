"""Start: the fixed time of a scan, from the command to its first verdict and to its end, for few images.

    python -m benchmarks.start                       # the embedded detector
    python -m benchmarks.start --source PHOTOS/      # the first images of a folder of one's own

Each size is run in turn, several times over: in the command's own process, as a small source is, and on a local Ray.
`--picture FILE.svg` draws what each phase of the commands took: those of the run record, the interpreter with its
imports before them, and the page of the scan after them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

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
IMPORTS, REST, PAGE = "interpreter, imports, settings", "between phases", "page, and leaving"
"""Before the run record begins, in it outside of its phases, and after it."""
COLOURS = ("#9aa5b1", "#b9d3ee", "#7fb0dd", "#3f7fbf", "#f2b56b", "#d97b29", "#8fbf8f", "#6b7a8a", "#c9b1d9", "#e4d36a")
SHORT = 0.05
"""A phase that takes less in all kinds of runs is not drawn, seconds."""
LEFT, WIDE, HIGH = 170, 620, 24
"""Of the picture, pixels: where bars begin, the longest one, and a bar with its gap."""


class Start(NamedTuple):
    """What one run of the command took, seconds: to its first verdict, to its end, and by phase."""

    first: float
    whole: float
    phases: Mapping[str, float]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="a folder of images; drawn ones where not given")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="where to draw the phases as SVG")
    given = parser.parse_args()
    taken: dict[tuple[int, str], list[Start]] = {(size, way): [] for size in SIZES for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        listings = {size: listing_of(folder, given.source, size) for size in SIZES}
        for number in range(given.rounds):
            for (size, way), times in taken.items():
                output = folder / f"{size}-{number}-{len(way)}"
                times.append(measure(listings[size], output, given.model, WAYS[way]))
    table = Table("images", "where", "first verdict, s", "whole command, s", "slowest - fastest")
    for (size, way), starts in taken.items():
        firsts, wholes = [start.first for start in starts], [start.whole for start in starts]
        spread = f"{max(wholes):.1f} - {min(wholes):.1f}"
        table.add_row(str(size), way, f"{statistics.median(firsts):.1f}", f"{statistics.median(wholes):.1f}", spread)
    Console().print(table)
    middle = {f"{size} image{'s' * (size > 1)}, {way}": medians(starts) for (size, way), starts in taken.items()}
    for name, phases in middle.items():
        print(f"{name}: " + ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in phases.items()))
    if given.picture:
        given.picture.write_text(picture(middle))
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


def measure(listing: Path, output: Path, model: str, flags: Sequence[str]) -> Start:
    """Run the command; the first verdict is there with the first part of the table."""
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
    whole, ended = time.perf_counter() - begun, time.time()
    path = next((output / "_runs").glob("*.json"))
    record, after = json.loads(path.read_text()), ended - path.stat().st_mtime
    inside, phases = record["seconds"], record["phases"]
    ends = {REST: inside - sum(phases.values()), PAGE: after}
    return Start(first, whole, {IMPORTS: whole - inside - after} | phases | ends)


def medians(starts: Sequence[Start]) -> dict[str, float]:
    """Return the median of each phase, seconds."""
    return {name: statistics.median(start.phases.get(name, 0.0) for start in starts) for name in starts[0].phases}


def picture(middle: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a bar for each kind of run, its phases one after the other, as SVG."""
    every = dict.fromkeys(name for phases in middle.values() for name in phases)
    names = [name for name in every if max(phases.get(name, 0.0) for phases in middle.values()) >= SHORT]
    scale = WIDE / max(sum(phases.values()) for phases in middle.values())
    high = HIGH * (len(middle) + (len(names) + 1) // 2) + 60
    shapes = []
    for row, (kind, phases) in enumerate(middle.items()):
        at, top = float(LEFT), 20 + row * HIGH
        shapes.append(f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{kind}</text>')
        for name, seconds in ((name, phases[name]) for name in phases if name in names):
            colour = COLOURS[names.index(name) % len(COLOURS)]
            shapes.append(f'<rect x="{at:.1f}" y="{top}" width="{seconds * scale:.1f}" height="17" fill="{colour}"/>')
            at += seconds * scale
        shapes.append(f'<text x="{at + 6:.1f}" y="{top + 13}">{sum(phases.values()):.1f} s</text>')
    for number, name in enumerate(names):
        left, top = LEFT + number % 2 * 300, 40 + HIGH * (len(middle) + number // 2)
        shapes.append(
            f'<rect x="{left}" y="{top - 11}" width="13" height="13" fill="{COLOURS[number % len(COLOURS)]}"/>'
        )
        shapes.append(f'<text x="{left + 19}" y="{top}">{name}</text>')
    style = "<style>text{font:12px sans-serif;fill:#1f2933}</style>"
    box = f'viewBox="0 0 {LEFT + WIDE + 60} {high}" role="img"'
    ground = f'<rect width="{LEFT + WIDE + 60}" height="{high}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{style}{ground}\n' + "\n".join(shapes) + "\n</svg>\n"


if __name__ == "__main__":
    main()
