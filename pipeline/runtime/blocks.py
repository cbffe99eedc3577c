"""Blocks: yields the Arrow blocks of a Ray dataset, each as soon as it is computed."""

from collections.abc import Iterator

import pyarrow as pa
import ray
from ray.data import Dataset


def iterate_blocks(dataset: Dataset) -> Iterator[pa.Table]:
    """Execute a dataset of Arrow blocks, and yield each block as soon as it is done.

    `iter_batches` without prefetching would do, but leaves a thread behind each time (Ray 2.60), and a scan has
    thousands of waves.

    Raises:
        RayError: the execution failed.
    """
    for bundle in dataset.iter_internal_ref_bundles():
        for reference in bundle.block_refs:
            yield ray.get(reference)
