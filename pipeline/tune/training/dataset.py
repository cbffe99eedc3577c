"""Views: the data set that feeds a training, a block for each worker's share of a step, made on CPU tasks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import ray.data
from ray.data import Dataset

from pipeline.tune import workers
from pipeline.tune.training.checkpoints import latest_record
from pipeline.tune.training.sampling import Batch, DatasetSpec, SamplingPlan

MAX_BLOCK_BYTES = 1 << 40
"""A block is a worker's share of a step, whatever bound another job of this process has set: a cut one would not be."""


def training_dataset(draws: SamplingPlan, made: DatasetSpec, *, run: str, processes: int, seed: int) -> Dataset:
    """Make the views of the steps that are still to be taken, a block for each worker's share of a step.

    Args:
        draws: the plan.
        made: what its places mean, and how they become views.
        run: its folder URL; what its last checkpoint has behind it is left out.
        processes: how many share a step.
        seed: of the deliveries.
    """
    first = min(latest_record(run).steps, draws.steps - 1)
    make = partial(workers.augmented_views, draws=draws, first=first, made=made, seed=seed)
    return _blocks(draws.batch_size * (draws.steps - first), (draws.steps - first) * processes, make)


def validation_dataset(made: DatasetSpec, *, processes: int, block: int = 8) -> Dataset:
    """View samples without a random delivery; rows at the place `NOBODY` fill up, so that workers get as many each."""
    blocks = -(-len(made.samples) * len(made.spec.singles) // (block * processes)) * processes
    return _blocks(blocks * block, blocks, partial(workers.clean_views, made=made))


def _blocks(rows: int, blocks: int, make: Callable[[Any], Batch]) -> Dataset:
    ids: Dataset = ray.data.range(rows, override_num_blocks=max(1, blocks))
    ids.context.target_max_block_size = MAX_BLOCK_BYTES
    return ids.map_batches(make, batch_size=None, batch_format="numpy")
