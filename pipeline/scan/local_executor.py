"""Local executor: a small source is scanned in this process, since starting Ray would take longer than the scan.

The stages are those of a cluster. One thread scores; the main thread reads, and prepares in child processes, so that an
image that crashes its decoder becomes a row here too.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from pipeline.runtime.machine import CPU_BATCH, CPU_ROWS_PER_FILE, GPU_BATCH, cores, has_gpu
from pipeline.runtime.ray_state import is_connected
from pipeline.scan.budget import Claimable, Quota
from pipeline.scan.executor import KeptScorers, Pending, Scorers
from pipeline.scan.models import ModelRef
from pipeline.scan.read_function import ReadFunction
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.scan.settings import DetectorSettings
from pipeline.scan.stages import rebatched
from pipeline.scan.table.deduplicator import Claims, Deduplicator
from pipeline.scan.workers import Score, load_detectors
from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter

MAX_IMAGES, MAX_SHARD_BYTES = 256, 64 << 20
"""Bounds of a small source: images, where they are counted before reading, and bytes of shards."""
TEXT_FORMS = {"csv", "tsv", "jsonl", "txt", "array", "document"}
"""Listings that Python code reads; a damaged Parquet file could end the process of its reader."""


def is_small(units: Iterable[Unit]) -> bool:
    """Tell whether units are few enough, and of kinds that are safe enough, to be read in this process.

    Args:
        units: what is not done; at most `MAX_IMAGES` and one are taken.
    """
    taken = list(islice(units, MAX_IMAGES + 1))
    counted = sum(unit.images or 0 for unit in taken)
    shards = sum(unit.size or MAX_SHARD_BYTES for unit in taken if unit.images is None)
    return len(taken) <= MAX_IMAGES and counted <= MAX_IMAGES and shards < MAX_SHARD_BYTES and all(map(_is_safe, taken))


def _is_safe(unit: Unit) -> bool:
    return unit.kind is not Kind.SLICE or (unit.slice is not None and unit.slice.form in TEXT_FORMS)


def is_local(settings: DetectorSettings) -> bool:
    """Tell whether settings leave it open where a scan runs: no cluster and nothing of a cluster is named."""
    named = settings.ray_address or settings.score_resource or settings.num_actors or settings.ray_logs
    return not named and not os.environ.get("RAY_ADDRESS") and not is_connected()


class LocalScorers:
    """The detectors in this process, and the thread that computes.

    Args:
        models: they share a backbone.
        device: `auto`, `cpu` or `cuda`.
        batch_size: images of a forward pass.
        reporter: learns when the detector is loaded; None where no progress is shown.
    """

    def __init__(
        self, models: Sequence[ModelRef], device: str, batch_size: int, reporter: ProgressReporter | None
    ) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._loaded = self._thread.submit(_load, models, device, batch_size, reporter)

    def submit(self, prepared: pa.Table, reporter: ProgressReporter | None) -> Pending:
        """Have a table of `PREPARED` scored; see `pipeline.scan.scoring_actors.Scorers.submit`."""
        on_scored = None if reporter is None else reporter.scored
        return self._thread.submit(lambda: self._loaded.result()(prepared, on_scored)).result

    def close(self) -> None:
        """End the thread, after the batch that it computes."""
        self._thread.shutdown(cancel_futures=True)


def _load(models: Sequence[ModelRef], device: str, batch_size: int, reporter: ProgressReporter | None) -> Score:
    """Load the detectors, while the main thread reads."""
    named = [(model.location, model.digest) for model in models]
    loaded = load_detectors(named, device=device, threads=cores(), batch_size=batch_size)
    if reporter is not None:
        reporter.loaded()
    return loaded


class LocalVerdicts:
    """Verdicts that are made in this process.

    Args:
        tasks: yield them.
    """

    def __init__(self, tasks: Sequence[ReadFunction]) -> None:
        self.tasks = tasks

    def write(self, function: Callable[[pa.Table], pa.Table], rows: int) -> Iterator[pa.Table]:
        """Apply a function to each `rows` of them; yields its results."""
        yield from map(function, rebatched(chain.from_iterable(task() for task in self.tasks), rows))

    @property
    def dataset(self) -> Any:
        """Nothing: only Ray makes datasets.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError


class LocalExecutor:
    """Runs tasks in this process; see `pipeline.scan.executor`.

    Args:
        settings: how the detectors run.
    """

    isolated = True
    counter: ProgressCounter | None

    def __init__(self, settings: DetectorSettings) -> None:
        self.cores = cores()
        self.counter = ProgressCounter()
        self.device = settings.device
        on_gpu = settings.device != "cpu" and has_gpu()
        self.batch_size = settings.batch_size or (GPU_BATCH if on_gpu else CPU_BATCH)
        self.rows_per_file = settings.rows_per_file or CPU_ROWS_PER_FILE
        self._scorers = KeptScorers(self._start)

    def close(self) -> None:
        """End the scoring thread."""
        self._scorers.close()

    def rows_per_call(self, image_bytes: int) -> int:
        """Return the number of images per scorer call: a batch, whatever the bytes of an image's views."""
        return self.batch_size

    def scorers(self, models: Sequence[ModelRef], reporter: ProgressReporter | None) -> Scorers:
        """Return the detectors; they are loaded anew only for other models."""
        return self._scorers.of(models, reporter)

    def _start(
        self, models: Sequence[ModelRef], reporter: ProgressReporter | None
    ) -> AbstractContextManager[LocalScorers]:
        return closing(LocalScorers(models, self.device, self.batch_size, reporter))

    @contextmanager
    def claims(self) -> Iterator[Claims]:
        """Make a deduplicator."""
        yield Deduplicator()

    @contextmanager
    def quota(self, images: int) -> Iterator[Claimable]:
        """Make a quota of images."""
        yield Quota(images)

    def run(self, tasks: Sequence[ReadFunction]) -> LocalVerdicts:
        """Run tasks that yield verdicts, once these are written."""
        return LocalVerdicts(tasks)


@contextmanager
def in_this_process(settings: DetectorSettings) -> Iterator[LocalExecutor]:
    """Scan in this process.

    Args:
        settings: how the detectors run.
    """
    executor = LocalExecutor(settings)
    try:
        yield executor
    finally:
        executor.close()
