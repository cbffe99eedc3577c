"""The worker: what each process of a distributed training does; Ray Train starts it, feeds it, and starts it again."""

import os
from collections.abc import Mapping
from typing import Any

import ray.train
import torch
from ray.train.torch import get_device

from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.tune.training.feed import KeptFeed, MadeFeed
from pipeline.tune.training.loop import Crew, alone, begin, run
from pipeline.tune.training.task import Task


def work(config: Mapping[str, Any]) -> None:
    """Train from wherever the last checkpoint stands to the end.

    Raises:
        CompletenessError: what a step is fed is not what was laid down.
        ModelError: the base cannot be used, or the loss is not a number.
    """
    task: Task = config["task"]
    reporter: ProgressReporter | None = config.get("reporter")
    context = ray.train.get_context()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    seat = context.get_world_rank(), context.get_world_size()
    learner = begin(task, get_device())
    reached = reporter.reached if reporter is not None and seat[0] == 0 else alone
    crew = Crew(seat, reached, lambda told: ray.train.report(dict(told)))
    if config.get("kept") is not None:
        run(task, learner, KeptFeed(config["kept"], config["draws"], seat), crew)
    else:
        shards = ray.train.get_dataset_shard("train"), ray.train.get_dataset_shard("validation")
        run(task, learner, MadeFeed(*shards, task.batch_size // seat[1], learner), crew)
