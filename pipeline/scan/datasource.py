"""Datasource: the Ray Data source of images, one read task for each group of units."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipeline.scan.budget import read_until
from pipeline.storage.memory import Snapshot, mount
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter

ReadFunction = Callable[[], Iterator[pa.Table]]
"""The body of a read task, some seconds of work: yields tables of `FETCHED`."""


class ImageSource(Datasource):
    """A Ray Data source of images: one read task for each read function."""

    def __init__(self, reads: Sequence[ReadFunction], memory: Snapshot) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads = reads
        self.memory = memory

    def estimate_inmemory_data_size(self) -> int | None:
        """Give no estimate: the size of a shard's images is known once it is read."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """Make a task for each read function; `parallelism` is their number."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(partial(_read_on_worker, read, self.memory), unknown) for read in self.reads]


def _read_on_worker(read: ReadFunction, memory: Snapshot) -> Iterator[pa.Table]:
    mount(memory)
    return read()


def read_images(read: ReadFunction, deadline: float | None) -> Iterator[pa.Table]:
    """Read images until the deadline, and record the time as a metric."""
    return metrics.record_reads(read_until(read, deadline))


@dataclass(frozen=True)
class CountingRead:
    """A read function of a unit whose number of images is unknown until it is read.

    Attributes:
        unit: the unit's name.
        read: reads its images.
        reporter: receives the number of images; None where no progress is shown.
    """

    unit: str
    read: ReadFunction
    reporter: ProgressReporter | None = None

    def __call__(self) -> Iterator[pa.Table]:
        """Read the unit, then report its number of images."""
        images = 0
        for table in self.read():
            images += table.num_rows
            yield table
        if self.reporter is not None:
            self.reporter.ended(self.unit, images)
