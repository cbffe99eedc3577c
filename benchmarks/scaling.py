"""What the shape of a source costs: the same images in many small shards or few large ones, and ten times as many.

    python -m benchmarks.scaling

Images are small, so that nothing but the road itself is measured. Beside the rate stands what grows with a cluster and
cannot be shared out: the driver's own seconds of a core, for each read task and for each block that was scored.
"""

import argparse
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import ray
from rich.console import Console
from rich.table import Table

from pipeline.scan.flow import scan
from pipeline.settings import ScanSettings
from pipeline.telemetry import quiet_ray
from tests.pictures import picture, write_shard
from tests.tiny import tiny_checkpoint

from .scan import Marked, Marks

SHAPES = ((100, 100), (10, 1_000), (1, 10_000), (10, 100), (100, 1_000))
"""Shards, and images in each."""
BATCH = 64


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave the ten times larger source out")
    shapes = SHAPES[:-1] if parser.parse_args().quick else SHAPES
    quiet_ray(logs=False)
    table = Table("shards", "images in each", "images/s", "driver, core s", "of that a read task, ms", "driver, MiB")
    with tempfile.TemporaryDirectory() as place:
        model = str(tiny_checkpoint(Path(place) / "model"))
        pictures = [picture(number) for number in range(100)]
        for shards, images in shapes:
            folder = Path(place) / f"{shards}-{images}"
            members = {f"{number:06}.jpg": pictures[number % 100] for number in range(images)}
            first = write_shard(folder / "0.tar", members)
            for number in range(1, shards):
                os.link(first, folder / f"{number}.tar")
            table.add_row(f"{shards:,}", f"{images:,}", *measure(folder, shards, model))
    Console().print(table)
    print(f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}, {datetime.now(UTC):%Y-%m-%d}")


def measure(folder: Path, shards: int, model: str) -> tuple[str, str, str, str]:
    """Scan a folder of shards; the rate from the first verdicts to the last, and what the driver took."""
    marks: Marks = []
    source = [f"{folder}/{{0..{shards - 1}}}.tar" if shards > 1 else f"{folder}/0.tar"]
    settings = ScanSettings(
        source=source, output=f"{folder}/verdicts", model=model, batch_size=BATCH, rows_per_file=512
    )
    spent = time.process_time()
    scan(settings, Marked(marks))
    spent = time.process_time() - spent
    (begun, before), (ended, after) = marks[0], marks[-1]
    memory = psutil.Process().memory_info().rss >> 20
    rate = (after - before) / (ended - begun)
    return f"{rate:,.0f}", f"{spent:.1f}", f"{1000 * spent / shards:,.0f}", f"{memory:,}"


if __name__ == "__main__":
    main()
