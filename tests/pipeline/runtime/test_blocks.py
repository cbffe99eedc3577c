"""Blocks of a dataset: all rows, an error as it was raised, and no thread that stays."""

import threading

import pyarrow as pa
import pytest
import ray

from pipeline.runtime.blocks import iterate_blocks


def failing(table: pa.Table) -> pa.Table:
    raise KeyError("no such block")


@pytest.mark.usefixtures("local_ray")
def test_every_block_is_yielded_and_no_thread_stays() -> None:
    before = {thread.ident for thread in threading.enumerate()}
    for _ in range(3):
        dataset = ray.data.from_items([{"number": number} for number in range(40)], override_num_blocks=4)
        doubled = dataset.map_batches(lambda table: table, batch_format="pyarrow")
        assert sorted(row["number"] for block in iterate_blocks(doubled) for row in block.to_pylist()) == [*range(40)]
    assert [
        thread.name for thread in threading.enumerate() if thread.ident not in before and "Pre" in thread.name
    ] == []


@pytest.mark.usefixtures("local_ray")
def test_an_error_of_a_worker_is_raised() -> None:
    with pytest.raises(ray.exceptions.RayTaskError, match="no such block"):
        list(iterate_blocks(ray.data.range(4).map_batches(failing, batch_format="pyarrow")))
