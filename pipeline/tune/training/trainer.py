"""The trainer: Ray Train starts the workers, hands each its share of every step, and starts them again if one dies."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem
from ray.data import ExecutionOptions
from ray.train import (
    DataConfig,
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
)
from ray.train.torch import TorchTrainer
from safetensors.torch import load_file
from torch import Tensor

from mole.errors import ModelError, MoleError
from pipeline.storage import storage
from pipeline.telemetry.asking import counting
from pipeline.telemetry.terminal import Ticker
from pipeline.tune import workers
from pipeline.tune.training.checkpoints import last_checkpoint
from pipeline.tune.training.dataset import training_dataset, validation_dataset
from pipeline.tune.training.learner import MERGED
from pipeline.tune.training.task import METRICS, MIXING
from pipeline.tune.training.training_run import TrainingRun

RETRIES = 3
"""How often a worker may die before the run gives up; the next command goes on from its last checkpoint."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Attributes:
        adapters: the best that was learned.
        history: the figures of each epoch, oldest first.
        shares: the validation score of each share of new adapters that was tried; empty where none were old.
    """

    adapters: dict[str, Tensor]
    history: list[dict[str, Any]]
    shares: dict[str, float]

    @property
    def epochs(self) -> int:
        """How many were trained; to fit a head alone is none."""
        return sum(entry["images_per_second"] is not None for entry in self.history)


def train(laid: TrainingRun, *, processes: int, gpu: bool) -> TrainingResult:
    """Run a training, or go on with it where an earlier one of the same folder ended.

    Args:
        laid: what every worker is told, the plan of steps, and where tokens are or what views are made of.
        processes: how many share each step.
        gpu: one GPU a worker.

    Raises:
        ModelError: the loss left the finite numbers, or the base cannot be used.
    """
    task = laid.task
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    share = 1.0 if gpu else min(1.0, max(1, cores - 1) / processes)  # the rest is for those who decode
    with counting("training", task.schedule.last_step, "steps") as teller:
        trainer = TorchTrainer(
            workers.train_loop_per_worker,
            train_loop_config={"task": task, "teller": teller}
            | ({"kept": laid.cached, "draws": laid.plan} if laid.cached else {}),
            scaling_config=ScalingConfig(
                num_workers=processes, use_gpu=gpu, resources_per_worker={"CPU": share} | ({"GPU": 1} if gpu else {})
            ),
            run_config=_run_config(task.run),
            datasets=None if laid.cached else _views(laid, processes),
            dataset_config=DataConfig(execution_options=ExecutionOptions(preserve_order=True)),
        )
        try:
            trainer.fit()
        except TrainingFailedError as reason:
            raise worker_error(reason) from reason
        Ticker.shown().reach(max((epoch["step"] for epoch in history(task.run)), default=0))
    with last_checkpoint(task.run) as folder:
        if folder is None:
            raise ModelError(f"the run {task.run} ended without a checkpoint; remove the folder and train again")
        adapters = load_file(folder / MERGED)
    return training_result(task.run, adapters)


def training_result(run: str, adapters: dict[str, Tensor]) -> TrainingResult:
    """Put together what a run has left."""
    told = history(run)
    shares = [epoch["shares"] for epoch in told if epoch["epoch"] == MIXING]
    return TrainingResult(adapters, [epoch for epoch in told if epoch["epoch"] != MIXING], shares[0] if shares else {})


def _views(laid: TrainingRun, processes: int) -> dict[str, Any]:
    """Name what makes the views of training and of validation."""
    training = partial(
        training_dataset, laid.plan, laid.training, run=laid.task.run, processes=processes, seed=laid.task.seed
    )
    return {"train": training, "validation": partial(validation_dataset, laid.validation, processes=processes)}


def worker_error(failure: TrainingFailedError) -> MoleError:
    """Find the error of this project that a worker raised, or name what Ray says."""
    causes: list[BaseException | None] = [failure, *getattr(failure, "worker_failures", {}).values()]
    while causes:
        cause = causes.pop(0)
        if isinstance(cause, MoleError):
            return cause
        if cause is not None:
            causes += [getattr(cause, "cause", None), cause.__cause__]
    return ModelError(f"training failed {RETRIES + 1} times: {failure}")


def history(run: str) -> list[dict[str, Any]]:
    """Read the figures that a run has left so far, oldest first."""
    return [json.loads(storage.read(file)) for file in epoch_files(run)]


def epoch_files(run: str) -> list[str]:
    """List the files of a run's figures, one an epoch, oldest first."""
    return storage.names(storage.join(run, METRICS), ".json")


def _run_config(run: str) -> RunConfig:
    """Name the run by its folder, so that the same folder is the same run."""
    parent, name = run.rsplit("/", 1)
    fs, path = storage.filesystem(parent)
    reach = LocalFileSystem() if storage.is_local(parent) else PyFileSystem(FSSpecHandler(fs))
    return RunConfig(
        name=name,
        storage_path=path,
        storage_filesystem=reach,
        failure_config=FailureConfig(max_failures=RETRIES),
    )
