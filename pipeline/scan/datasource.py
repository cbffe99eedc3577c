"""Datasource: the Ray Data source of verdicts, one read task for each group of units."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipeline.storage.memory import Snapshot, mount
from pipeline.telemetry.progress_counter import ProgressReporter

ReadFunction = Callable[[], Iterator[pa.Table]]
"""Yields tables: of `FETCHED`, or, as the body of a read task, of verdicts; some seconds of work."""


class ImageSource(Datasource):
    """A Ray Data source: one read task for each read function."""

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


@dataclass(frozen=True)
class CountingRead:
    """A read function of units whose number of images is unknown until they are read.

    Attributes:
        read: reads their images, unit after unit.
        reporter: receives each unit's number of images once it is read; None where no progress is shown.
    """

    read: ReadFunction
    reporter: ProgressReporter | None = None

    def __call__(self) -> Iterator[pa.Table]:
        """Read the units, and report each one's number of images."""
        counts: dict[str, int] = {}
        for table in self.read():
            for found in pc.value_counts(table["unit"]):
                unit = found["values"].as_py()
                self._report(counts, besides=unit)
                counts[unit] = counts.get(unit, 0) + found["counts"].as_py()
            yield table
        self._report(counts)

    def _report(self, counts: dict[str, int], besides: str | None = None) -> None:
        """Report and forget the units that were read."""
        for unit in [unit for unit in counts if unit != besides]:
            images = counts.pop(unit)
            if self.reporter is not None:
                self.reporter.ended(unit, images)
