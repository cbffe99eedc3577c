"""Trainer: runs a training on Ray Train, which starts the workers and restarts them after a failure."""

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
from ray.train.torch import TorchConfig, TorchTrainer
from safetensors.torch import load_file
from torch import Tensor

from mole.errors import ModelError, MoleError
from pipeline.storage import storage
from pipeline.telemetry.progress_client import counted_phase
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune import workers
from pipeline.tune.training.checkpoints import last_checkpoint
from pipeline.tune.training.dataset import training_dataset, validation_dataset
from pipeline.tune.training.learner import MERGED
from pipeline.tune.training.task import INTERPOLATION_EPOCH, METRICS
from pipeline.tune.training.training_run import TrainingRun

RETRIES = 3
"""Worker failures that a run tolerates; after that, running the same command again resumes from the last checkpoint."""
GPU_BACKENDS = "cpu:gloo,cuda:nccl"
"""Validation scores and losses are gathered from host memory, gradients and weights from the GPUs."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        adapters: the best weights.
        history: the metrics of each epoch, oldest first.
        shares: the validation score for each share of the new adapters; empty if training started without adapters.
    """

    adapters: dict[str, Tensor]
    history: list[dict[str, Any]]
    shares: dict[str, float]

    @property
    def epochs(self) -> int:
        """Number of trained epochs; fitting the head alone does not count."""
        return sum(entry["images_per_second"] is not None for entry in self.history)


def train(run: TrainingRun, *, processes: int, gpu: bool) -> TrainingResult:
    """Run a training, or resume it from the last checkpoint of its run folder.

    Args:
        run: task, sampling plan and data.
        processes: number of workers that share each step.
        gpu: one GPU per worker.

    Raises:
        ModelError: the loss is not finite, or the base cannot be used.
    """
    task = run.task
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    share = 1.0 if gpu else min(1.0, max(1, cores - 1) / processes)  # the rest is for decoding
    with counted_phase("training", task.schedule.last_step, "steps") as reporter:
        trainer = TorchTrainer(
            workers.train_loop_per_worker,
            torch_config=TorchConfig(backend=GPU_BACKENDS if gpu else "gloo"),
            train_loop_config={"task": task, "reporter": reporter}
            | ({"cached": run.cached, "plan": run.plan} if run.cached else {}),
            scaling_config=ScalingConfig(
                num_workers=processes, use_gpu=gpu, resources_per_worker={"CPU": share} | ({"GPU": 1} if gpu else {})
            ),
            run_config=_run_config(task.run),
            datasets=None if run.cached else _datasets(run, processes),
            dataset_config=DataConfig(execution_options=ExecutionOptions(preserve_order=True)),
        )
        try:
            trainer.fit()
        except TrainingFailedError as reason:
            raise worker_error(reason) from reason
        ProgressDisplay.shown().reach(max((epoch["step"] for epoch in history(task.run)), default=0))
    with last_checkpoint(task.run) as folder:
        if folder is None:
            raise ModelError(f"the run {task.run} ended without a checkpoint; remove the folder and train again")
        adapters = load_file(folder / MERGED)
    return training_result(task.run, adapters)


def training_result(run: str, adapters: dict[str, Tensor]) -> TrainingResult:
    """Assemble the result from the metrics in a run's folder.

    Args:
        run: URL of the folder.
        adapters: the trained weights, by the names and in the shapes of `mole.model.detector.stored`.
    """
    entries = history(run)
    shares = [epoch["shares"] for epoch in entries if epoch["epoch"] == INTERPOLATION_EPOCH]
    return TrainingResult(
        adapters, [epoch for epoch in entries if epoch["epoch"] != INTERPOLATION_EPOCH], shares[0] if shares else {}
    )


def _datasets(run: TrainingRun, processes: int) -> dict[str, Any]:
    """Return the functions that build the datasets for training and validation."""
    training = partial(
        training_dataset, run.plan, run.training, run=run.task.run, processes=processes, seed=run.task.seed
    )
    return {"train": training, "validation": partial(validation_dataset, run.validation, processes=processes)}


def worker_error(failure: TrainingFailedError) -> MoleError:
    """Find the MoleError that a worker raised, or wrap what Ray reports."""
    causes: list[BaseException | None] = [failure, *getattr(failure, "worker_failures", {}).values()]
    while causes:
        cause = causes.pop(0)
        if isinstance(cause, MoleError):
            return cause
        if cause is not None:
            causes += [getattr(cause, "cause", None), cause.__cause__]
    return ModelError(f"training failed {RETRIES + 1} times: {failure}")


def history(run: str) -> list[dict[str, Any]]:
    """Read the metrics that a run has written so far, oldest first."""
    return [json.loads(storage.read(file)) for file in epoch_files(run)]


def epoch_files(run: str) -> list[str]:
    """List the metrics files of a run, one per epoch, oldest first."""
    return storage.list_files(storage.join(run, METRICS), ".json")


def _run_config(run: str) -> RunConfig:
    """Name Ray Train's run after the run folder, so that the same folder resumes the same run."""
    parent, name = run.rsplit("/", 1)
    fs, path = storage.filesystem(parent)
    reach = LocalFileSystem() if storage.is_local(parent) else PyFileSystem(FSSpecHandler(fs))
    return RunConfig(
        name=name,
        storage_path=path,
        storage_filesystem=reach,
        failure_config=FailureConfig(max_failures=RETRIES),
    )
