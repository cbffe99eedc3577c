"""Driver: the CPU time that one driver takes for a million images, and the time that a wave costs beyond its tasks.

    python -m benchmarks.driver                    # one and ten million images
    python -m benchmarks.driver --millions 1

The driver does not grow with the cluster, so what it takes for an image decides how far one run scales. Only it is
measured: tasks have their rows ready, ten thousand each as of a large shard, in calls of a GPU's size, and report
progress as the stages of a scan do; Ray Data, the progress counter, the sink and the gauges are the scan's own. The
planning of a source is measured by `python -m benchmarks.planning`.

Some of the driver's work goes by the clock and not by images (polling, Ray Data's loop); a run whose tasks sleep tells
how much. On a cluster a million images take seconds, here minutes, so the last column leaves that out.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from pipeline.scan.flow import MIN_WAVE_TASKS
from pipeline.scan.models import ModelRef
from pipeline.scan.ray_executor import on_ray
from pipeline.scan.settings import ScanSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.sink import open_sink
from pipeline.scan.wave import prepare_context, write_verdicts
from pipeline.scan.workers import conclude
from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay

IMAGES_PER_TASK, CALL = 10_000, 4 * GPU_BATCH
FIRST = 100_000
"""Images of a run whose cost, with Ray's start, is subtracted from the others'."""
SLEEPS = (5.0, 45.0)
"""Seconds of tasks that only sleep."""
WAVE = 10
"""Tasks of a wave for each core, where waves are compared with one."""
Task = Callable[[int, Any, ProgressReporter | None, float], Iterator[pa.Table]]


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        images: how many rows were written.
        seconds: of the clock.
        core_s: CPU seconds of the driver.
    """

    images: int
    seconds: float
    core_s: float


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10])
    given = parser.parse_args()
    sleeping = [measure([sleep] * 2, seconds) for seconds in SLEEPS]
    idle = (sleeping[1].core_s - sleeping[0].core_s) / (sleeping[1].seconds - sleeping[0].seconds)
    runs = [
        measure([rows] * (images // IMAGES_PER_TASK)) for images in (FIRST, *(n * 1_000_000 for n in given.millions))
    ]
    table = Table("images", "whole run, s", "driver, core s", "a million more take", "by images alone")
    for run in runs:
        beyond, more = run.core_s - runs[0].core_s, (run.images - runs[0].images) / 1e6
        by_images = beyond - idle * (run.seconds - runs[0].seconds)
        table.add_row(
            f"{run.images:,}",
            f"{run.seconds:.1f}",
            f"{run.core_s:.2f}",
            f"{beyond / more:.2f} core s" if more else "",
            f"{by_images / more:.2f} core s" if more else "",
        )
    Console().print(table)
    print(f"a run that only waits takes {idle:.3f} core s a second; a wave more, with the same tasks, {edge():.1f} s")
    print(f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}, {datetime.now(UTC):%Y-%m-%d}")


def edge() -> float:
    """Measure what a wave costs beyond its tasks: tasks that sleep a second, in three waves and in one."""
    cores = os.cpu_count() or 1
    tasks: list[Task] = [sleep] * (3 * WAVE * cores)
    waves, one = measure(tasks, 1.0, WAVE * cores), measure(tasks, 1.0, len(tasks))
    return (waves.seconds - one.seconds) / 2


def measure(tasks: Sequence[Task], seconds: float = 0.0, wave_tasks: int = MIN_WAVE_TASKS) -> Run:
    """Write the rows of some tasks, wave by wave; each is told `seconds`."""
    described = describe(registry.locate("embedded"))
    models = [ModelRef("embedded", described)]
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/verdicts"
        settings = ScanSettings(source=["null"], output=output, num_actors=1, rows_per_file=GPU_ROWS_PER_FILE)
        sink = open_sink(settings.sink, output)
        written = 0
        begun, spent = time.perf_counter(), time.process_time()
        with ProgressDisplay() as progress, Lease(output) as lease:
            executor = on_ray(settings, [], progress)
            ledger = sink.ledger(described.digest)
            with prepare_context(settings, executor, lease, sink, ledger, progress) as context:
                made_rows = ray.put(verdicts(described.digest))
                for start in range(0, len(tasks), wave_tasks):
                    with context.monitor.wave(described.digest) as reporter:
                        made = [
                            partial(task, number, made_rows, reporter, seconds)
                            for number, task in enumerate(tasks[start : start + wave_tasks], start)
                        ]
                        written += write_verdicts(context, made, models, []).rows
        return Run(written, time.perf_counter() - begun, time.process_time() - spent)


def sleep(number: int, made: Any, reporter: ProgressReporter | None, seconds: float) -> Iterator[pa.Table]:
    """Do nothing for some seconds, then yield a row."""
    time.sleep(seconds)
    yield ray.get(made).slice(0, 1)


def rows(number: int, made: Any, reporter: ProgressReporter | None, seconds: float) -> Iterator[pa.Table]:
    """Yield the verdicts of a task, call by call."""
    unit = f"s3://bucket/shards/{number:06}.tar#{number:032x}"
    whole = ray.get(made)
    place = whole.schema.get_field_index("unit")
    for start in range(0, IMAGES_PER_TASK, CALL):
        table = whole.slice(start, CALL)
        units = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table), np.int32)), [unit])
        table = table.set_column(place, whole.schema.field(place), units)
        if reporter is not None:
            reporter.concluded(table)
        yield table
    if reporter is not None:
        reporter.ended(unit, IMAGES_PER_TASK)


def verdicts(digest: str) -> pa.Table:
    """Make the verdicts of a shard's images, as `conclude` makes them."""
    indices = np.arange(IMAGES_PER_TASK)
    columns: dict[str, Any] = {
        "unit": [""] * IMAGES_PER_TASK,
        "index": indices,
        "last": indices == IMAGES_PER_TASK - 1,
        "uri": ["s3://bucket/shards/000000.tar"] * IMAGES_PER_TASK,
        "key": [f"{index:06}" for index in indices],
        "offset": indices * 150_000,
        "length": np.full(IMAGES_PER_TASK, 149_000),
        "content_hash": [bytes(8) + int(index).to_bytes(8, "big") for index in indices],
        "bytes": np.full(IMAGES_PER_TASK, 149_000),
        "format": ["jpeg"] * IMAGES_PER_TASK,
        "width": np.full(IMAGES_PER_TASK, 1024),
        "height": np.full(IMAGES_PER_TASK, 768),
        "status": ["ok"] * IMAGES_PER_TASK,
        "logit": np.sin(indices).astype(np.float32),
        "gates": pa.array([[0.2, 0.3, 0.5]] * IMAGES_PER_TASK, GATES),
        MODEL: [digest] * IMAGES_PER_TASK,
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(IMAGES_PER_TASK, field.type)
        for field in SCORED
    ]
    scored = pa.Table.from_arrays(arrays, schema=SCORED)
    return conclude(scored, {digest: Calibration()}, "fingerprint", prevalence=0.1)


if __name__ == "__main__":
    main()
