"""Scaling: how the rate depends on the number of shards, of images and of nodes.

    python -m benchmarks.scaling

The nodes share this machine's cores, so a constant rate is the best that more of them can show here. Images are small,
so that only the overhead of the scan is measured. A rate is that of the images beyond the first thousand; a run of one
thousand is the first row. The driver does not scale with the cluster, so its CPU seconds are measured too; as on
a cluster of GPUs by `python -m benchmarks.driver`.
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

from benchmarks.scorers import CORES
from pipeline.runtime import cluster
from pipeline.runtime.cluster import NICENESS, OBJECT_STORE_BYTES_PER_CORE
from pipeline.scan.flow import scan
from pipeline.scan.settings import ScanSettings
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import picture, write_shard
from tests.tiny import tiny_checkpoint

FIRST = (10, 100)
SHAPES = (FIRST, (100, 100), (10, 1_000), (4, 10_000), (1, 10_000), (100, 1_000))
"""Shards, and images in each; all rates are beyond the first."""
BATCH = 32
NODES = (1, 2, 4)
"""Nodes on this machine; they share out its cores, and where there are more nodes than cores each has one."""


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave the hundred times larger source out")
    shapes = SHAPES[:-1] if parser.parse_args().quick else SHAPES
    cluster.quiet(logs=False)
    table = Table("shards", "images in each", "whole run, s", "images/s", "driver, core s", "driver, MiB")
    spread = Table("nodes", "cores of each", "images/s", "driver, core s")
    with tempfile.TemporaryDirectory() as place:
        model = str(tiny_checkpoint(Path(place) / "model"))
        pictures = [picture(number) for number in range(100)]
        sources = {shape: write(Path(place) / f"{shape[0]}-{shape[1]}", *shape, pictures) for shape in SHAPES}
        outputs = [f"{place}/verdicts-{number}" for number in range(len(shapes))]
        runs = [measure(sources[shape], output, model, actors=1) for shape, output in zip(shapes, outputs, strict=True)]
        for (shards, images), run in zip(shapes, runs, strict=True):
            row = (f"{run.seconds:.1f}", rate(runs[0], run), f"{run.core_s:.1f}", f"{run.mib:,}")
            table.add_row(f"{shards:,}", f"{images:,}", *row)
        for nodes in NODES:
            first, run = on_nodes(nodes, [sources[FIRST], sources[10, 1_000]], f"{place}/verdicts-on-{nodes}", model)
            spread.add_row(str(nodes), str(max(1, CORES // nodes)), rate(first, run), f"{run.core_s:.1f}")
    Console().print(table)
    Console().print(spread)
    print(f"{platform.machine()}, {CORES} cores, ray {ray.__version__}, {datetime.now(UTC):%Y-%m-%d}")


@dataclass(frozen=True)
class Run:
    """What a scan took.

    Attributes:
        images: how many it scanned.
        seconds: from its beginning to its end.
        core_s: seconds of a core in the driver.
        mib: the driver's memory at the end.
    """

    images: int
    seconds: float
    core_s: float
    mib: int


def rate(first: Run, run: Run) -> str:
    """Write how many images a second a run scanned beyond the first run's."""
    return "" if run.images == first.images else f"{(run.images - first.images) / (run.seconds - first.seconds):,.0f}"


def write(folder: Path, shards: int, images: int, pictures: Sequence[bytes]) -> str:
    """Write shards that are links to one; the pattern that names them."""
    first = write_shard(folder / "0.tar", {f"{number:06}.jpg": pictures[number % 100] for number in range(images)})
    for number in range(1, shards):
        os.link(first, folder / f"{number}.tar")
    return f"{folder}/{{0..{shards - 1}}}.tar" if shards > 1 else str(first)


def on_nodes(nodes: int, sources: Sequence[str], output: str, model: str) -> list[Run]:
    """Scan sources one after the other on some nodes of this machine, with a scorer on each."""
    os.environ.setdefault("RAY_worker_niceness", NICENESS)
    cores = max(1, CORES // nodes)
    has: dict[str, Any] = {"num_cpus": cores, "object_store_memory": OBJECT_STORE_BYTES_PER_CORE * cores}
    cluster: Any = Cluster(initialize_head=True, head_node_args=has | {"include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**has)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        return [measure(source, f"{output}/{number}", model) for number, source in enumerate(sources)]
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure(source: str, output: str, model: str, *, batch: int = BATCH, actors: int | None = None) -> Run:
    """Scan a source; this process is the driver. Where actors are named, small sources are scanned on Ray too."""
    settings = ScanSettings(source=[source], output=output, model=model, batch_size=batch, num_actors=actors)
    begun, spent = time.perf_counter(), time.process_time()
    summary = scan(settings, ProgressDisplay(quiet=True))
    seconds, core_s = time.perf_counter() - begun, time.process_time() - spent
    return Run(summary.images, seconds, core_s, psutil.Process().memory_info().rss >> 20)


if __name__ == "__main__":
    main()
