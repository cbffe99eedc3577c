"""The loop: a training from wherever its last checkpoint stands to its end, in one process of as many as there are.

Each stage fits the head to what it sees, before anything under it moves, and takes its steps then. An epoch ends with
the validation images' scores, a checkpoint and a line of history.

Legend: N validation images.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from mole.checkpoint import adapters_of, put
from mole.measuring.metrics import auroc
from mole.training.step import StepReport
from pipeline import registry
from pipeline.storage import storage
from pipeline.tune.training.checkpoints import last_checkpoint, save_checkpoint
from pipeline.tune.training.learner import Learner, all_gather
from pipeline.tune.training.loaders import BatchLoader, WorkerRank
from pipeline.tune.training.sampling import PADDING
from pipeline.tune.training.task import METRICS, MIXING, SHARES, Task
from pipeline.tune.training.trunk import fresh_detector


def ignore_epoch(figures: Mapping[str, Any]) -> None:
    """Tell nobody."""


def ignore_step(step: int) -> None:
    """Tell nobody of a step."""


@dataclass(frozen=True)
class WorkerContext:
    """The process, and whom it tells.

    Attributes:
        seat: which process this is, and of how many.
        reached: told each step.
        report: told each epoch, behind its checkpoint.
    """

    rank: WorkerRank = (0, 1)
    on_step: Callable[[int], None] = ignore_step
    on_epoch: Callable[[Mapping[str, Any]], None] = ignore_epoch


def build_learner(task: Task, device: torch.device) -> Learner:
    """Build the detector on a device as the task says and go on from the last checkpoint where there is one.

    Raises:
        ModelError: the base cannot be used.
    """
    detector = fresh_detector(task)
    if task.keep_adapters:
        folder = registry.locate(task.base, task.digest)
        put(detector, adapters_of(folder), str(folder))
    learner = Learner(detector.to(device), task.spec, task.schedule, keeps_head=task.keep_adapters)
    with last_checkpoint(task.run) as saved:
        if saved is not None:
            learner.restore(saved)
    return learner


def train_loop(task: Task, learner: Learner, feed: BatchLoader, crew: WorkerContext) -> None:
    """Train from where the learner stands to the end.

    Raises:
        LawError: what a step is fed is not what was laid down.
        ModelError: the loss is not a number.
    """
    reports: list[StepReport] = []
    began = time.monotonic()
    while True:
        if learner.ended:
            if learner.done:
                break
            learner.next_stage()
        if not learner.progress.fitted and feed.fit_head(learner):
            end_epoch(task, learner, feed, crew, epoch_metrics(task, learner, [], 0.0))
            began = time.monotonic()
            continue
        report = learner.train_step(*feed.next_batch(learner))
        reports += [report] if report else []
        crew.on_step(learner.progress.step)
        if learner.progress.step % task.schedule.steps == 0:
            end_epoch(task, learner, feed, crew, epoch_metrics(task, learner, reports, time.monotonic() - began))
            reports, began = [], time.monotonic()
    if task.keep_adapters and learner.progress.mixed is None:
        interpolate_adapters(task, learner, feed, crew)


def validation_scores(task: Task, learner: Learner, feed: BatchLoader) -> dict[str, float]:
    """Measure the AUROC of each generator on the validation views, whoever holds them."""
    place_V, logit_V = (all_gather(torch.from_numpy(part)).numpy() for part in feed.validation_logits(learner))
    return auroc_by_generator(task, place_V, logit_V)


def auroc_by_generator(task: Task, place_V: NDArray[np.int64], logit_V: NDArray[np.float32]) -> dict[str, float]:
    """Measure the AUROC of each generator against all validation reals, an image by the mean of its views.

    Args:
        task: labels and sources of the validation images.
        place_V: int64, which of them each view is of; `NOBODY` for none.
        logit_V: float32.
    """
    there_V = place_V != PADDING
    count = len(task.labels)
    sums_N = np.bincount(place_V[there_V], logit_V[there_V], count)
    logit_N = sums_N / np.maximum(1, np.bincount(place_V[there_V], minlength=count))
    real_N, source_N = np.array(task.labels) == 0, np.array(task.sources)
    generators = sorted(set(source_N[~real_N])) if real_N.any() else []
    return {name: auroc(logit_N[real_N], logit_N[~real_N & (source_N == name)]) for name in map(str, generators)}


def mean_score(task: Task, scored: Mapping[str, float]) -> float | None:
    """Average over the generators that decide, or over all where none of them does; None where there are none."""
    deciding = [score for name, score in scored.items() if name in task.stopping_generators] or list(scored.values())
    return float(np.mean(deciding)) if deciding else None


def epoch_metrics(task: Task, learner: Learner, reports: Sequence[StepReport], seconds: float) -> dict[str, Any]:
    """Write what the steps of an epoch measured; losses are means over all processes."""
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


def end_epoch(task: Task, learner: Learner, feed: BatchLoader, crew: WorkerContext, told: Mapping[str, Any]) -> None:
    """Judge what was learned so far, leave the figures and a checkpoint in the run's folder, and report it."""
    scored = validation_scores(task, learner, feed)
    learner.record_score(mean_score(task, scored))
    save_epoch(task, learner, crew, {**told, "validation": scored})


def save_epoch(task: Task, learner: Learner, crew: WorkerContext, told: Mapping[str, Any]) -> None:
    """Leave figures and a checkpoint in the run's folder, and report them."""
    now = learner.progress
    told = {**told, "step": now.step, "best": now.best, "stale": now.stale}
    number = MIXING if told["epoch"] == MIXING else now.told
    now.told += 1
    if crew.rank[0] == 0:
        storage.write(storage.join(task.run, METRICS, f"{number:05}.json"), json.dumps(told).encode())
        with tempfile.TemporaryDirectory() as folder:
            learner.save(Path(folder))
            save_checkpoint(task.run, now.step, Path(folder))
    crew.on_epoch(told)


def interpolate_adapters(task: Task, learner: Learner, feed: BatchLoader, crew: WorkerContext) -> None:
    """Choose between the old adapters and the new, and what lies between, by the mean over all validation generators.

    Source: interpolation of old and new weights against forgetting, arXiv:2601.05580.
    """
    old, new = adapters_of(registry.locate(task.base, task.digest)), learner.merged_state()

    def between(share: float) -> dict[str, Tensor]:
        return {name: old[name] * (1 - share) + new[name] * share for name in new}

    found: dict[float, float] = {}
    for share in SHARES:
        learner.load_state(between(share))
        found[share] = float(np.mean(list(validation_scores(task, learner, feed).values())))
    chosen = max(SHARES, key=lambda share: (found[share], share))
    learner.stage_start = learner.best = between(chosen)
    learner.progress.mixed = chosen
    save_epoch(task, learner, crew, {"epoch": MIXING, "shares": {str(share): score for share, score in found.items()}})
