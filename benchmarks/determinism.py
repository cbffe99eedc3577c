"""Determinism: scans the same shards in many ways, and compares verdicts and logits with those of the first way.

    python -m benchmarks.determinism [--source 'examples/shards/*.tar'] [--model embedded]

Ways: scorers, batches, order, pieces (a scan that is ended and started again), three nodes on this machine, and the
instruction sets that torch and oneDNN can be kept to, as kinds of CPU. Two thresholds at logits of two of the images
show whether a verdict at the edge flips.
"""

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.dataset as pads
import ray
import torch
from ray.cluster_utils import Cluster

from mole.config import CONFIG
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.scan.flow import scan
from pipeline.scan.settings import ScanSettings
from pipeline.telemetry.terminal import ProgressDisplay

STORE = 256 << 20
ISA = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "no AVX": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""Environments that keep the libraries to the instructions of older CPUs."""

Verdicts = dict[tuple[str, int], tuple[str, str | None, float | None]]


@dataclass(frozen=True)
class Way:
    """One way to scan.

    Attributes:
        name: its name.
        flags: of each run of the scan, one after the other on one table.
        backwards: whether the shards are named in reverse order.
        nodes: on how many nodes.
        environment: further variables.
    """

    name: str
    flags: tuple[tuple[str, ...], ...] = ((),)
    backwards: bool = False
    nodes: int = 1
    environment: dict[str, str] = field(default_factory=dict)


WAYS = (
    Way("one scorer, batches of 16", (("--num-actors=1", "--batch-size=16"),)),
    Way("two scorers, batches of 5, backwards", (("--num-actors=2", "--batch-size=5"),), backwards=True),
    Way("four scorers, batches of 3", (("--num-actors=4", "--batch-size=3"),)),
    Way("in three pieces, batches of 7", (("--max-images=9",), ("--max-images=14",), ("--batch-size=7",))),
    Way("three nodes", nodes=3),
    *(Way(f"instructions: {name}", environment=environment) for name, environment in ISA.items()),
)


def main() -> None:
    """Scan in every way and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="examples/shards/*.tar")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--nodes", nargs="+", metavar="ARGUMENT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.nodes:
        output, model, *shards = given.nodes
        on_three_nodes(output, model, shards)
        return
    shards = sorted(glob.glob(given.source))
    print(f"{cpu_name()}, {os.cpu_count()} cores, torch {torch.__version__}: {torch.backends.cpu.get_cpu_capability()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(WAYS[0], shards, folder / "first", given.model)
        logits = sorted(logit for *_, logit in verdicts(folder / "first").values() if logit is not None)
        low, high = logits[len(logits) // 3], logits[2 * len(logits) // 3]
        model = with_thresholds(given.model, folder / "model", (low, high))
        print(f"{len(shards)} shards, {len(logits)} scored images, thresholds at two of their logits: {low}, {high}")
        first: Verdicts = {}
        for number, way in enumerate(WAYS):
            run(way, shards, folder / str(number), str(model))
            found = verdicts(folder / str(number))
            first = first or found
            print(f"{way.name:40} {difference(first, found)}", flush=True)


def run(way: Way, shards: list[str], output: Path, model: str) -> None:
    """Scan in one way, in processes of its own."""
    named = shards[::-1] if way.backwards else shards
    for flags in way.flags:
        command = [sys.executable, "jobs/scan.py", *named, f"--output={output}", f"--model={model}", *flags]
        if way.nodes > 1:
            command = [sys.executable, "-m", "benchmarks.determinism", "--nodes", str(output), model, *named]
        subprocess.run([*command], check=True, env=os.environ | way.environment, stdout=subprocess.DEVNULL)


def on_three_nodes(output: str, model: str, shards: list[str]) -> None:
    """Scan on a head that only leads, and two nodes that prepare and score."""
    cluster.quiet(logs=False)
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
    for _ in range(2):
        machines.add_node(num_cpus=1, resources={"score": 1}, object_store_memory=STORE)
    try:
        ray.init(address=machines.address, log_to_driver=False)
        settings = ScanSettings(source=shards, output=output, model=model, score_resource="score")
        scan(settings, ProgressDisplay(quiet=True))
    finally:
        ray.shutdown()
        machines.shutdown()  # type: ignore[no-untyped-call]


def with_thresholds(model: str, folder: Path, thresholds: tuple[float, float]) -> Path:
    """Copy a checkpoint and put its thresholds at two logits."""
    shutil.copytree(registry.locate(model), folder)
    config = json.loads((folder / CONFIG).read_text())
    config["calibration"] |= dict(zip(("real_below", "generated_above"), thresholds, strict=True))
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def verdicts(table: Path) -> Verdicts:
    """Read status, verdict and logit of each image."""
    rows = pads.dataset(table, format="parquet", partitioning="hive", exclude_invalid_files=True).to_table().to_pylist()
    return {(row["unit"], row["index"]): (row["status"], row["verdict"], row["logit"]) for row in rows}


def difference(first: Verdicts, found: Verdicts) -> str:
    """Describe how two scans differ."""
    both = first.keys() & found.keys()
    moved = sum(first[place][:2] != found[place][:2] for place in both)
    apart = max(abs((first[place][2] or 0.0) - (found[place][2] or 0.0)) for place in both)
    return (
        f"{len(found)} rows, {len(first.keys() ^ found.keys())} others, {moved} verdicts differ, logits by {apart:.0e}"
    )


def cpu_name() -> str:
    """Return the name of this machine's CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
