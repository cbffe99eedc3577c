"""What the shape of a source costs: the same images in many shards or few, ten times as many, on one node or several.

    python -m benchmarks.scaling

Nodes share out this machine's cores, so that a rate that stays is all that more of them may give here. Images are
small, so that nothing but the road itself is measured. Beside the rate stands what grows with a cluster and cannot be
shared out: the driver's own seconds of a core, in all, for each read task, and, from the same shard in blocks of two
sizes, for each block that is prepared and scored.
"""

import argparse
import logging
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster
from rich.console import Console
from rich.table import Table

from pipeline.cluster import BATCHES_A_BLOCK
from pipeline.scan.flow import scan
from pipeline.settings import ScanSettings
from pipeline.telemetry import Ticker, quiet_ray
from tests.pictures import picture, write_shard
from tests.tiny import tiny_checkpoint

from .roads import CORES, Marks

SHAPES = ((100, 100), (10, 1_000), (1, 10_000), (10, 100), (100, 1_000))
"""Shards, and images in each."""
BATCH, SMALL_BATCH = 64, 2
NODES = (1, 2, 4)
"""Nodes on this machine; they share out its cores, and where there are more nodes than cores each has one."""
STORE = 256 << 20
BLOCKS_OF = 10_000
"""Images of the one shard whose blocks are counted."""


class Marked(Ticker):
    """A ticker that keeps when how many images were done."""

    def __init__(self, marks: Marks) -> None:
        super().__init__(quiet=True)
        self.marks = marks

    def add(self, images: int, faults: int) -> None:
        """Note the time."""
        super().add(images, faults)
        self.marks.append((time.perf_counter(), self.images))


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
            source = write(Path(place) / f"{shards}-{images}", shards, images, pictures)
            run = measure(source, f"{place}/{shards}-{images}/verdicts", model, BATCH)
            row = (f"{run.rate:,.0f}", f"{run.core_s:.1f}", f"{1000 * run.core_s / shards:,.0f}", f"{run.mib:,}")
            table.add_row(f"{shards:,}", f"{images:,}", *row)
        source = write(Path(place) / "blocks", 1, BLOCKS_OF, pictures)
        several = f"{place}/10-1000/{{0..9}}.tar"
        spread = {nodes: on_nodes(nodes, several, f"{place}/verdicts-on-{nodes}", model) for nodes in NODES}
        few, many = (measure(source, f"{place}/verdicts-{batch}", model, batch) for batch in (BATCH, SMALL_BATCH))
    Console().print(table)
    rates = ", ".join(f"{run.rate:,.0f} on {nodes}" for nodes, run in spread.items())
    print(f"10,000 images in 10 shards on nodes that share out {CORES} cores, images/s: {rates}")
    fewer, more = (BLOCKS_OF // (BATCHES_A_BLOCK * batch) for batch in (BATCH, SMALL_BATCH))
    each = 1000 * (many.core_s - few.core_s) / (more - fewer)
    print(
        f"{BLOCKS_OF:,} images in {fewer:,} and in {more:,} blocks: "
        f"the driver took {few.core_s:.1f} and {many.core_s:.1f} s, so {each:.0f} ms a block"
    )
    print(f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}, {datetime.now(UTC):%Y-%m-%d}")


@dataclass(frozen=True)
class Run:
    """What a scan took.

    Attributes:
        rate: images a second, from the first verdicts to the last.
        core_s: seconds of a core in the driver.
        mib: the driver's memory at the end.
    """

    rate: float
    core_s: float
    mib: int


def write(folder: Path, shards: int, images: int, pictures: Sequence[bytes]) -> str:
    """Write shards that are links to one; the pattern that names them."""
    first = write_shard(folder / "0.tar", {f"{number:06}.jpg": pictures[number % 100] for number in range(images)})
    for number in range(1, shards):
        os.link(first, folder / f"{number}.tar")
    return f"{folder}/{{0..{shards - 1}}}.tar" if shards > 1 else str(first)


def on_nodes(nodes: int, source: str, output: str, model: str) -> Run:
    """Scan a source on some nodes of this machine, with a scorer on each."""
    has: dict[str, Any] = {"num_cpus": max(1, CORES // nodes), "object_store_memory": STORE}
    cluster: Any = Cluster(initialize_head=True, head_node_args=has | {"include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**has)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        return measure(source, output, model, BATCH)
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure(source: str, output: str, model: str, batch: int) -> Run:
    """Scan a source in this process, which is the driver."""
    marks: Marks = []
    settings = ScanSettings(source=[source], output=output, model=model, batch_size=batch, rows_per_file=512)
    spent = time.process_time()
    scan(settings, Marked(marks))
    spent = time.process_time() - spent
    (begun, before), (ended, after) = marks[0], marks[-1]
    return Run((after - before) / (ended - begun), spent, psutil.Process().memory_info().rss >> 20)


if __name__ == "__main__":
    main()
