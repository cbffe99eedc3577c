"""Datasource: the Ray Data source of a wave: each read task yields the tables that its read function makes."""

from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipeline.scan.read_function import ReadFunction
from pipeline.storage.memory import Snapshot, mount


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
