"""The worker: what each process of a distributed training does; Ray Train starts it, feeds it, and starts it again."""

import os
from collections.abc import Mapping
from typing import Any

import ray.train
import torch
from ray.train.torch import get_device

from pipeline.telemetry.tally import Teller
from pipeline.tune.training.loaders import CachedLoader, StreamingLoader
from pipeline.tune.training.loop import WorkerContext, build_learner, ignore_step, train_loop
from pipeline.tune.training.task import Task


def train_loop_per_worker(config: Mapping[str, Any]) -> None:
    """Train from wherever the last checkpoint stands to the end.

    Raises:
        LawError: what a step is fed is not what was laid down.
        ModelError: the base cannot be used, or the loss is not a number.
    """
    task: Task = config["task"]
    teller: Teller | None = config.get("teller")
    context = ray.train.get_context()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    seat = context.get_world_rank(), context.get_world_size()
    learner = build_learner(task, get_device())
    reached = teller.reached if teller is not None and seat[0] == 0 else ignore_step
    crew = WorkerContext(seat, reached, lambda told: ray.train.report(dict(told)))
    if config.get("kept") is not None:
        train_loop(task, learner, CachedLoader(config["kept"], config["draws"], seat), crew)
    else:
        shards = ray.train.get_dataset_shard("train"), ray.train.get_dataset_shard("validation")
        train_loop(task, learner, StreamingLoader(*shards, task.batch_size // seat[1], learner), crew)
