"""Dataset: the Ray Data pipelines that feed a training without a token cache, one block per worker and step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import ray.data
from ray.data import Dataset

from pipeline.tune import workers
from pipeline.tune.training.checkpoints import latest_record
from pipeline.tune.training.sampling import Batch, DatasetSpec, SamplingPlan

MAX_BLOCK_BYTES = 1 << 40
"""No limit in practice: a block is a worker's share of a step and must not be split, whatever limit another job set."""


def training_dataset(plan: SamplingPlan, dataset: DatasetSpec, *, run: str, processes: int, seed: int) -> Dataset:
    """Make the views of the remaining steps, one block per worker and step.

    Args:
        plan: sampling plan of the training.
        dataset: samples and preprocessing.
        run: the run's folder URL; steps before its last checkpoint are left out.
        processes: number of workers that share a step.
        seed: of the augmentations.
    """
    first = min(latest_record(run).steps, plan.steps - 1)
    make = partial(workers.augmented_views, plan=plan, first=first, dataset=dataset, seed=seed)
    return _blocks(plan.batch_size * (plan.steps - first), (plan.steps - first) * processes, make)


def validation_dataset(dataset: DatasetSpec, *, processes: int, block: int = 8) -> Dataset:
    """Make views without augmentation; rows with the sample index `PADDING` give every worker the same number."""
    blocks = -(-len(dataset.samples) * len(dataset.spec.singles) // (block * processes)) * processes
    return _blocks(blocks * block, blocks, partial(workers.clean_views, dataset=dataset))


def _blocks(rows: int, blocks: int, make: Callable[[Any], Batch]) -> Dataset:
    ids: Dataset = ray.data.range(rows, override_num_blocks=max(1, blocks))
    ids.context.target_max_block_size = MAX_BLOCK_BYTES
    return ids.map_batches(make, batch_size=None, batch_format="numpy")
