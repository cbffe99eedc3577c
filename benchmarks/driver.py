"""Driver: the CPU time that one driver takes for a million images, and how long its workers idle between two waves.

    python -m benchmarks.driver                    # one and ten million images
    python -m benchmarks.driver --millions 1

The driver does not grow with the cluster, so what it takes for an image decides how far one run scales. Only it is
measured: tasks make their rows on the spot, ten thousand each as of a large shard, in calls of a GPU's size, and report
progress as the stages of a scan do; Ray Data, the progress counter, the sink and the gauges are the scan's own. The
planning of a source is measured by `python -m benchmarks.planning`.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from rich.console import Console
from rich.table import Table

from mole.config import describe
from mole.measuring.calibration import Calibration
from pipeline import registry
from pipeline.records import GATES, MODEL, SCORED
from pipeline.runtime.machine import GPU_BATCH, GPU_ROWS_PER_FILE
from pipeline.scan.execution import prepare_context, write_verdicts
from pipeline.scan.flow import MIN_WAVE_TASKS
from pipeline.scan.models import ModelRef
from pipeline.scan.ray_executor import on_ray
from pipeline.scan.settings import ScanSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.sink import open_sink
from pipeline.scan.workers import conclude
from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay

IMAGES_PER_TASK, CALL = 10_000, 4 * GPU_BATCH
FIRST_TASKS = 10
"""Tasks of a run whose cost, Ray's start, is subtracted from the others'."""


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        images: how many rows were written.
        seconds: of the clock.
        core_s: CPU seconds of the driver.
        gaps: seconds between the last file of a wave and the first of the next.
    """

    images: int
    seconds: float
    core_s: float
    gaps: tuple[float, ...]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10])
    given = parser.parse_args()
    first = measure(FIRST_TASKS)
    table = Table("images", "whole run, s", "driver, core s", "beyond the first, core s a million", "between waves, s")
    for millions in (0, *given.millions):
        run = measure(millions * 1_000_000 // IMAGES_PER_TASK) if millions else first
        beyond = (run.core_s - first.core_s) / (run.images - first.images) * 1e6 if millions else None
        table.add_row(
            f"{run.images:,}",
            f"{run.seconds:.1f}",
            f"{run.core_s:.2f}",
            "" if beyond is None else f"{beyond:.2f}",
            ", ".join(f"{gap:.2f}" for gap in run.gaps),
        )
    Console().print(table)
    print(f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}, {datetime.now(UTC):%Y-%m-%d}")


def measure(tasks: int) -> Run:
    """Write the rows of some tasks, wave by wave."""
    described = describe(registry.locate("embedded"))
    models = [ModelRef("embedded", described)]
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/verdicts"
        settings = ScanSettings(source=["null"], output=output, num_actors=1, rows_per_file=GPU_ROWS_PER_FILE)
        sink = open_sink(settings.sink, output)
        gaps: list[float] = []
        written, ended = 0, None
        begun, spent = time.perf_counter(), time.process_time()
        with ProgressDisplay() as progress, Lease(output) as lease:
            executor = on_ray(settings, [], progress)
            ledger = sink.ledger(described.digest)
            with prepare_context(settings, executor, lease, sink, ledger, progress) as context:
                for start in range(0, tasks, MIN_WAVE_TASKS):
                    numbers = range(start, min(tasks, start + MIN_WAVE_TASKS))
                    with context.monitor.wave(described.digest) as reporter:
                        made = [partial(rows, number, described.digest, reporter) for number in numbers]
                        wave = time.perf_counter()
                        result = write_verdicts(context, made, models, [])
                    written += result.rows
                    if ended is not None:
                        gaps.append(wave - ended)
                    ended = time.perf_counter()
        return Run(written, time.perf_counter() - begun, time.process_time() - spent, tuple(gaps))


def rows(number: int, digest: str, reporter: ProgressReporter | None) -> Iterator[pa.Table]:
    """Make the verdicts of a task, call by call."""
    unit = f"s3://bucket/shards/{number:06}.tar#{number:032x}"
    for start in range(0, IMAGES_PER_TASK, CALL):
        count = min(CALL, IMAGES_PER_TASK - start)
        scored = scored_rows(unit, start, count, digest)
        yield conclude(scored, {digest: Calibration()}, "fingerprint", prevalence=0.1, reporter=reporter)
    if reporter is not None:
        reporter.ended(unit, IMAGES_PER_TASK)


def scored_rows(unit: str, start: int, count: int, digest: str) -> pa.Table:
    """Make a table of `SCORED` of a shard's images."""
    indices = np.arange(start, start + count)
    columns: dict[str, Any] = {
        "unit": [unit] * count,
        "index": indices,
        "last": indices == IMAGES_PER_TASK - 1,
        "uri": [unit.partition("#")[0]] * count,
        "key": [f"{index:06}" for index in indices],
        "offset": indices * 150_000,
        "length": np.full(count, 149_000),
        "content_hash": [bytes(8) + int(index).to_bytes(8, "big") for index in indices],
        "bytes": np.full(count, 149_000),
        "format": ["jpeg"] * count,
        "width": np.full(count, 1024),
        "height": np.full(count, 768),
        "status": ["ok"] * count,
        "logit": np.sin(indices).astype(np.float32),
        "gates": pa.array([[0.2, 0.3, 0.5]] * count, GATES),
        MODEL: [digest] * count,
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in SCORED
    ]
    return pa.Table.from_arrays(arrays, schema=SCORED)


if __name__ == "__main__":
    main()
