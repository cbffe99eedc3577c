"""Train loop: trains from the last checkpoint to the end, in each of any number of processes.

Each stage first fits the head to everything it includes, before any expert is trained, and then takes its steps. An
epoch ends with the validation scores, a checkpoint and an entry in the history.

Legend: N validation images, V validation views.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from mole.checkpoint import load_adapters, read_adapters
from mole.measuring.metrics import auroc
from mole.training.step import StepReport
from pipeline import registry
from pipeline.runtime.scratch import scratch_folder
from pipeline.storage import storage
from pipeline.tune.training.checkpoints import last_checkpoint, save_checkpoint
from pipeline.tune.training.learner import Learner, all_gather
from pipeline.tune.training.loaders import BatchLoader, WorkerRank
from pipeline.tune.training.sampling import PADDING
from pipeline.tune.training.task import INTERPOLATION_EPOCH, INTERPOLATION_SHARES, METRICS, Task
from pipeline.tune.training.trunk import fresh_detector


def ignore_epoch(metrics: Mapping[str, Any]) -> None:
    """Do nothing at the end of an epoch."""


def ignore_step(step: int) -> None:
    """Do nothing after a step."""


@dataclass(frozen=True)
class WorkerContext:
    """The worker process and its callbacks.

    Attributes:
        rank: of the worker.
        on_step: called after each step, with the number of steps taken.
        on_epoch: called after each epoch, once its checkpoint is written, with the metrics.
    """

    rank: WorkerRank = field(default_factory=WorkerRank)
    on_step: Callable[[int], None] = ignore_step
    on_epoch: Callable[[Mapping[str, Any]], None] = ignore_epoch


def build_learner(task: Task, device: torch.device) -> Learner:
    """Build the detector of a task on a device, and resume from the last checkpoint if there is one.

    Raises:
        ModelError: the base cannot be used.
    """
    detector = fresh_detector(task)
    if task.keep_adapters:
        folder = registry.locate(task.base, task.digest)
        load_adapters(detector, read_adapters(folder), str(folder))
    learner = Learner(detector.to(device), task.spec, task.schedule, keep_head=task.keep_adapters)
    with last_checkpoint(task.run) as saved:
        if saved is not None:
            learner.restore(saved)
    return learner


def train_loop(task: Task, learner: Learner, loader: BatchLoader, worker: WorkerContext) -> None:
    """Train from the learner's current step to the end.

    Raises:
        CompletenessError: the views received are not those of the sampling plan.
        ModelError: the loss is not finite.
    """
    reports: list[StepReport] = []
    start = time.monotonic()
    while True:
        if learner.ended:
            if learner.done:
                break
            learner.next_stage()
        if not learner.progress.fitted and loader.fit_head(learner):
            end_epoch(task, learner, loader, worker, epoch_metrics(task, learner, [], 0.0))
            start = time.monotonic()
            continue
        report = learner.train_step(*loader.next_batch(learner))
        reports += [report] if report else []
        worker.on_step(learner.progress.step)
        if learner.progress.step % task.schedule.steps == 0:
            end_epoch(task, learner, loader, worker, epoch_metrics(task, learner, reports, time.monotonic() - start))
            reports, start = [], time.monotonic()
    if task.keep_adapters and learner.progress.mixed is None:
        interpolate_adapters(task, learner, loader, worker)


def validation_scores(task: Task, learner: Learner, loader: BatchLoader) -> dict[str, float]:
    """Measure the AUROC of each generator on the validation views of all workers."""
    index_V, logit_V = (all_gather(torch.from_numpy(part)).numpy() for part in loader.validation_logits(learner))
    return auroc_by_generator(task, index_V, logit_V)


def auroc_by_generator(task: Task, index_V: NDArray[np.int64], logit_V: NDArray[np.float32]) -> dict[str, float]:
    """Measure the AUROC of each generator against all real validation images, by the mean logit of an image's views.

    Args:
        task: labels and sources of the validation images.
        index_V: the image of each view, int64 (V,); `PADDING` for none.
        logit_V: float32 (V,).
    """
    real_V = index_V != PADDING
    count = len(task.labels)
    sums_N = np.bincount(index_V[real_V], logit_V[real_V], count)
    logit_N = sums_N / np.maximum(1, np.bincount(index_V[real_V], minlength=count))
    real_N, source_N = np.array(task.labels) == 0, np.array(task.sources)
    generators = sorted(set(source_N[~real_N])) if real_N.any() else []
    return {name: auroc(logit_N[real_N], logit_N[~real_N & (source_N == name)]) for name in map(str, generators)}


def mean_score(task: Task, scores: Mapping[str, float]) -> float | None:
    """Average over the stopping generators, or over all if none of them is there; None without any generator."""
    chosen = [score for name, score in scores.items() if name in task.stopping_generators] or list(scores.values())
    return float(np.mean(chosen)) if chosen else None


def epoch_metrics(task: Task, learner: Learner, reports: Sequence[StepReport], seconds: float) -> dict[str, Any]:
    """Summarise the steps of an epoch; losses are means over all processes."""
    loads = np.array([report.load_E for report in reports]) if reports else np.zeros((0, 0))
    losses: list[float] = []
    if reports:
        each = all_gather(torch.tensor([report.loss for report in reports], dtype=torch.float64))
        world = distributed.get_world_size() if distributed.is_initialized() else 1
        losses = each.view(world, -1).mean(dim=0).tolist()
    return {
        "epoch": learner.progress.step // task.schedule.steps,
        "stage": learner.stage.name,
        "losses": losses,
        "loss": float(np.mean(losses)) if losses else None,
        "load": loads.mean(axis=0).tolist() if reports else [],
        "gate_entropy": float(np.mean([report.entropy for report in reports])) if reports else None,
        "images_per_second": task.batch_size * task.schedule.steps / seconds if seconds else None,
    }


def end_epoch(
    task: Task, learner: Learner, loader: BatchLoader, worker: WorkerContext, metrics: Mapping[str, Any]
) -> None:
    """Validate, then write and report the metrics of an epoch and a checkpoint."""
    scores = validation_scores(task, learner, loader)
    learner.record_score(mean_score(task, scores))
    save_epoch(task, learner, worker, {**metrics, "validation": scores})


def save_epoch(task: Task, learner: Learner, worker: WorkerContext, metrics: Mapping[str, Any]) -> None:
    """Write metrics and a checkpoint to the run's folder, and report the metrics."""
    now = learner.progress
    metrics = {**metrics, "step": now.step, "best": now.best, "stale": now.stale}
    number = INTERPOLATION_EPOCH if metrics["epoch"] == INTERPOLATION_EPOCH else now.told
    now.told += 1
    if worker.rank.rank == 0:
        storage.write(storage.join(task.run, METRICS, f"{number:05}.json"), json.dumps(metrics).encode())
        with scratch_folder("mole-training-") as folder:
            learner.save(folder)
            save_checkpoint(task.run, now.step, folder)
    worker.on_epoch(metrics)


def interpolate_adapters(task: Task, learner: Learner, loader: BatchLoader, worker: WorkerContext) -> None:
    """Choose the best interpolation of old and new adapters by the mean over all validation generators.

    Source: interpolation of old and new weights against forgetting, arXiv:2601.05580.
    """
    old, new = read_adapters(registry.locate(task.base, task.digest)), learner.merged_state()

    def between(share: float) -> dict[str, Tensor]:
        """Interpolate every tensor in float32; names, shapes and dtypes stay."""
        return {
            name: (old[name].float() * (1 - share) + tensor.float() * share).to(tensor.dtype)
            for name, tensor in new.items()
        }

    means: dict[float, float] = {}
    for share in INTERPOLATION_SHARES:
        learner.load_state(between(share))
        means[share] = float(np.mean(list(validation_scores(task, learner, loader).values())))
    chosen = max(INTERPOLATION_SHARES, key=lambda share: (means[share], share))
    learner.stage_start = learner.best = between(chosen)
    learner.progress.mixed = chosen
    shares = {str(share): score for share, score in means.items()}
    save_epoch(task, learner, worker, {"epoch": INTERPOLATION_EPOCH, "shares": shares})
