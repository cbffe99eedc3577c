"""Worker: the train loop of each process of a distributed training, which Ray Train starts and restarts."""

import os
from collections.abc import Mapping
from typing import Any

import ray.train
import torch
from ray.train.torch import get_device

from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.tune.training.loaders import CachedLoader, StreamingLoader, WorkerRank
from pipeline.tune.training.loop import WorkerContext, build_learner, ignore_step, train_loop
from pipeline.tune.training.task import Task


def train_loop_per_worker(config: Mapping[str, Any]) -> None:
    """Train from the last checkpoint to the end.

    Raises:
        CompletenessError: the views received are not those of the sampling plan.
        ModelError: the base cannot be used, or the loss is not finite.
    """
    task: Task = config["task"]
    reporter: ProgressReporter | None = config.get("reporter")
    context = ray.train.get_context()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    rank = WorkerRank(context.get_world_rank(), context.get_world_size())
    learner = build_learner(task, get_device())
    on_step = reporter.reached if reporter is not None and rank.rank == 0 else ignore_step
    worker = WorkerContext(rank, on_step, lambda metrics: ray.train.report(dict(metrics)))
    if config.get("cached") is not None:
        train_loop(task, learner, CachedLoader(config["cached"], config["plan"], rank), worker)
    else:
        shards = ray.train.get_dataset_shard("train"), ray.train.get_dataset_shard("validation")
        train_loop(task, learner, StreamingLoader(*shards, task.batch_size // rank.world_size, learner), worker)
