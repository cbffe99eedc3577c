"""Datasource: one read task for each read function."""

from collections.abc import Iterator

import pyarrow as pa

from pipeline.records import FETCHED
from pipeline.scan.datasource import ImageSource

ROW = dict.fromkeys(FETCHED.names)


def read() -> Iterator[pa.Table]:
    """Yield five rows in two tables."""
    yield pa.Table.from_pylist([ROW, ROW], FETCHED)
    yield pa.Table.from_pylist([ROW, ROW, ROW], FETCHED)


def test_each_read_function_is_a_task_of_its_own_and_yields_its_rows() -> None:
    tasks = ImageSource([read, read, read], {}).get_read_tasks(1)
    assert [sum(table.num_rows for table in task()) for task in tasks] == [5, 5, 5]
