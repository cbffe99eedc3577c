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

from mole.checkpoint import load_adapters, read_adapters
from mole.measuring.metrics import auroc
from mole.training.step import StepReport
from pipeline import registry
from pipeline.storage import storage
from pipeline.tune.training.draws import NOBODY
from pipeline.tune.training.feed import Feed, Seat
from pipeline.tune.training.learner import Learner, gathered
from pipeline.tune.training.progress import keep, last_checkpoint
from pipeline.tune.training.task import METRICS, MIXING, SHARES, Task
from pipeline.tune.training.trunk import plain_detector


def unheard(figures: Mapping[str, Any]) -> None:
    """Tell nobody."""


def alone(step: int) -> None:
    """Tell nobody of a step."""


@dataclass(frozen=True)
class Crew:
    """The process, and whom it tells.

    Attributes:
        seat: which process this is, and of how many.
        reached: told each step.
        report: told each epoch, behind its checkpoint.
    """

    seat: Seat = (0, 1)
    reached: Callable[[int], None] = alone
    report: Callable[[Mapping[str, Any]], None] = unheard


def begin(task: Task, device: torch.device) -> Learner:
    """Build the detector on a device as the task says and go on from the last checkpoint where there is one.

    Raises:
        ModelError: the base cannot be used.
    """
    detector = plain_detector(task)
    if task.keep_adapters:
        folder = registry.locate(task.base, task.digest)
        load_adapters(detector, read_adapters(folder), str(folder))
    learner = Learner(detector.to(device), task.spec, task.course, keeps_head=task.keep_adapters)
    with last_checkpoint(task.run) as saved:
        if saved is not None:
            learner.restore(saved)
    return learner


def run(task: Task, learner: Learner, feed: Feed, crew: Crew) -> None:
    """Train from where the learner stands to the end.

    Raises:
        CompletenessError: what a step is fed is not what was laid down.
        ModelError: the loss is not a number.
    """
    reports: list[StepReport] = []
    began = time.monotonic()
    while True:
        if learner.ended:
            if learner.done:
                break
            learner.turn()
        if not learner.progress.fitted and feed.fit(learner):
            tell(task, learner, feed, crew, figures(task, learner, [], 0.0))
            began = time.monotonic()
            continue
        report = learner.learn(*feed.step(learner))
        reports += [report] if report else []
        crew.reached(learner.progress.step)
        if learner.progress.step % task.course.steps == 0:
            tell(task, learner, feed, crew, figures(task, learner, reports, time.monotonic() - began))
            reports, began = [], time.monotonic()
    if task.keep_adapters and learner.progress.mixed is None:
        mix(task, learner, feed, crew)


def scores(task: Task, learner: Learner, feed: Feed) -> dict[str, float]:
    """Measure the AUROC of each generator on the validation views, whoever holds them."""
    place_V, logit_V = (gathered(torch.from_numpy(part)).numpy() for part in feed.watched(learner))
    return areas(task, place_V, logit_V)


def areas(task: Task, place_V: NDArray[np.int64], logit_V: NDArray[np.float32]) -> dict[str, float]:
    """Measure the AUROC of each generator against all validation reals, an image by the mean of its views.

    Args:
        task: labels and sources of the validation images.
        place_V: int64, which of them each view is of; `NOBODY` for none.
        logit_V: float32.
    """
    there_V = place_V != NOBODY
    count = len(task.labels)
    sums_N = np.bincount(place_V[there_V], logit_V[there_V], count)
    logit_N = sums_N / np.maximum(1, np.bincount(place_V[there_V], minlength=count))
    real_N, source_N = np.array(task.labels) == 0, np.array(task.sources)
    generators = sorted(set(source_N[~real_N])) if real_N.any() else []
    return {name: auroc(logit_N[real_N], logit_N[~real_N & (source_N == name)]) for name in map(str, generators)}


def mean(task: Task, scored: Mapping[str, float]) -> float | None:
    """Average over the generators that decide, or over all where none of them does; None where there are none."""
    deciding = [score for name, score in scored.items() if name in task.judges] or list(scored.values())
    return float(np.mean(deciding)) if deciding else None


def figures(task: Task, learner: Learner, reports: Sequence[StepReport], seconds: float) -> dict[str, Any]:
    """Write what the steps of an epoch measured; losses are means over all processes."""
    loads = np.array([report.load_E for report in reports]) if reports else np.zeros((0, 0))
    losses: list[float] = []
    if reports:
        each = gathered(torch.tensor([report.loss for report in reports], dtype=torch.float64))
        world = distributed.get_world_size() if distributed.is_initialized() else 1
        losses = each.view(world, -1).mean(dim=0).tolist()
    return {
        "epoch": learner.progress.step // task.course.steps,
        "stage": learner.stage.name,
        "losses": losses,
        "loss": float(np.mean(losses)) if losses else None,
        "load": loads.mean(axis=0).tolist() if reports else [],
        "gate_entropy": float(np.mean([report.entropy for report in reports])) if reports else None,
        "images_per_second": task.batch_size * task.course.steps / seconds if seconds else None,
    }


def tell(task: Task, learner: Learner, feed: Feed, crew: Crew, told: Mapping[str, Any]) -> None:
    """Judge what was learned so far, leave the figures and a checkpoint in the run's folder, and report it."""
    scored = scores(task, learner, feed)
    learner.judge(mean(task, scored))
    leave(task, learner, crew, {**told, "validation": scored})


def leave(task: Task, learner: Learner, crew: Crew, told: Mapping[str, Any]) -> None:
    """Leave figures and a checkpoint in the run's folder, and report them."""
    now = learner.progress
    told = {**told, "step": now.step, "best": now.best, "stale": now.stale}
    number = MIXING if told["epoch"] == MIXING else now.told
    now.told += 1
    if crew.seat[0] == 0:
        storage.write(storage.join(task.run, METRICS, f"{number:05}.json"), json.dumps(told).encode())
        with tempfile.TemporaryDirectory() as folder:
            learner.save(Path(folder))
            keep(task.run, now.step, Path(folder))
    crew.report(told)


def mix(task: Task, learner: Learner, feed: Feed, crew: Crew) -> None:
    """Choose between the old adapters and the new, and what lies between, by the mean over all validation generators.

    Source: interpolation of old and new weights against forgetting, arXiv:2601.05580.
    """
    old, new = read_adapters(registry.locate(task.base, task.digest)), learner.outcome()

    def between(share: float) -> dict[str, Tensor]:
        return {name: old[name] * (1 - share) + new[name] * share for name in new}

    found: dict[float, float] = {}
    for share in SHARES:
        learner.become(between(share))
        found[share] = float(np.mean(list(scores(task, learner, feed).values())))
    chosen = max(SHARES, key=lambda share: (found[share], share))
    learner.whole = learner.best = between(chosen)
    learner.progress.mixed = chosen
    leave(task, learner, crew, {"epoch": MIXING, "shares": {str(share): score for share, score in found.items()}})
