"""The worker: what each process of a distributed training does; Ray Train starts it, feeds it, and starts it again.

Legend: B batch of one process, N validation views, T tokens, D width.
"""

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import torch
from ray.data import DataIterator
from ray.train.torch import get_device
from torch import Tensor

from mole.checkpoint import adapters_of, put, tower_of
from mole.config import describe
from mole.detector import MoLE
from mole.errors import LawError
from mole.metrics import auroc
from mole.training import StepReport
from pipeline import registry, storage
from pipeline.tally import Teller
from pipeline.tune.training.draws import NOBODY
from pipeline.tune.training.learner import Learner, gathered
from pipeline.tune.training.progress import keep, last_checkpoint
from pipeline.tune.training.task import METRICS, MIXING, SHARES, Task


def work(config: Mapping[str, Any]) -> None:
    """Train from wherever the last checkpoint stands to the end.

    Raises:
        LawError: the views of a step are not those that were laid down.
        ModelError: the base cannot be used, or the loss is not a number.
    """
    task: Task = config["task"]
    teller: Teller | None = config.get("teller")
    context = ray.train.get_context()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    learner = begin(task, get_device())
    watch = Watch(task, learner, ray.train.get_dataset_shard("validation"))
    shard = ray.train.get_dataset_shard("train")
    reports: list[StepReport] = []
    began = time.monotonic()
    for pixels_B3SS, label_B in shares(shard, learner, task.batch_size // context.get_world_size()):
        report = learner.learn(pixels_B3SS, label_B)
        reports += [report] if report else []
        if teller is not None and context.get_world_rank() == 0:
            teller.reached(learner.progress.step)
        if learner.progress.step % task.course.steps == 0:
            scores = watch.scores(learner)
            learner.judge(watch.mean(scores))
            epoch = learner.progress.step // task.course.steps
            tell(task, learner, figures(reports, scores, epoch, task, time.monotonic() - began))
            reports, began = [], time.monotonic()
        if learner.done:
            break
    if task.keep_adapters and learner.progress.mixed is None:
        mix(task, learner, watch)


def begin(task: Task, device: torch.device) -> Learner:
    """Build the detector on a device as the task says and go on from the last checkpoint where there is one.

    Raises:
        ModelError: the base cannot be used.
    """
    folder = registry.locate(task.base, task.digest)
    torch.manual_seed(task.seed)
    tower = tower_of(describe(folder)).to(torch.bfloat16 if task.bfloat16 else torch.float32)
    detector = MoLE(tower, task.detector)
    if task.keep_adapters:
        put(detector, adapters_of(folder), str(folder))
    learner = Learner(detector.to(device), task.spec, task.course)
    with last_checkpoint(task.run) as saved:
        if saved is not None:
            learner.restore(saved)
    return learner


def shares(shard: DataIterator, learner: Learner, each: int) -> Any:
    """Yield this worker's share of each step that is still to be taken: uint8 (B, 3, S, S) and float32 (B,).

    Raises:
        LawError: a share is not that of the step that comes next.
    """
    if learner.done:
        return
    for batch in shard.iter_torch_batches(batch_size=each, prefetch_batches=2):
        steps = set(batch["step"].tolist())
        if max(steps) < learner.progress.step:
            continue  # seen before the checkpoint was taken
        if steps != {learner.progress.step} or len(batch["step"]) != each:
            raise LawError(f"step {learner.progress.step} was handed {len(batch['step'])} views of steps {steps}")
        yield batch["pixels"], batch["label"]


class Watch:
    """The validation views behind the frozen trunk, each worker holding its share in memory."""

    def __init__(self, task: Task, learner: Learner, shard: DataIterator) -> None:
        self.judges = set(task.judges)
        self.label_N = np.array(task.labels)
        self.source_N = np.array(task.sources)
        places: list[Tensor] = []
        tokens: list[Tensor] = []
        for batch in shard.iter_torch_batches(batch_size=8):
            places.append(batch["place"])
            tokens.append(learner.tokens(batch["pixels"]))
        self.place_N, self.token_NTD = torch.cat(places), torch.cat(tokens)

    def logits(self, learner: Learner) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Score every validation view, whoever holds it; float32, in the order of the samples."""
        place_N = gathered(self.place_N).numpy()
        logit_N = gathered(torch.from_numpy(learner.logits(self.token_NTD))).numpy()
        found_N = np.full(len(self.label_N), np.nan, np.float32)
        found_N[place_N[place_N != NOBODY]] = logit_N[place_N != NOBODY]
        return found_N

    def scores(self, learner: Learner) -> dict[str, float]:
        """Measure the AUROC of each generator against all validation reals."""
        logit_N = self.logits(learner)
        real_N = self.label_N == 0
        generators = sorted(set(self.source_N[~real_N]))
        return {
            name: auroc(logit_N[real_N], logit_N[~real_N & (self.source_N == name)]) for name in map(str, generators)
        }

    def mean(self, scores: Mapping[str, float]) -> float:
        """Average over the generators that decide."""
        return float(np.mean([score for name, score in scores.items() if not self.judges or name in self.judges]))


def figures(
    reports: Sequence[StepReport], scores: Mapping[str, float], epoch: int, task: Task, seconds: float
) -> dict[str, Any]:
    """Write an epoch's figures; losses are those of this worker's share."""
    loads = np.array([report.load_E for report in reports]) if reports else np.zeros((0, 0))
    losses = gathered(torch.tensor([report.loss for report in reports], dtype=torch.float64))
    world = max(1, ray.train.get_context().get_world_size())
    mean_loss = losses.view(world, -1).mean(dim=0).tolist() if reports else []
    return {
        "epoch": epoch,
        "losses": mean_loss,
        "loss": float(np.mean(mean_loss)) if mean_loss else None,
        "load": loads.mean(axis=0).tolist(),
        "gate_entropy": float(np.mean([report.entropy for report in reports])) if reports else None,
        "validation": dict(scores),
        "images_per_second": task.batch_size * task.course.steps / seconds,
    }


def tell(task: Task, learner: Learner, told: Mapping[str, Any]) -> None:
    """Leave an epoch's figures and a checkpoint in the run's folder, and report it to Ray Train."""
    told = {**told, "step": learner.progress.step, "best": learner.progress.best, "stale": learner.progress.stale}
    if ray.train.get_context().get_world_rank() == 0:
        storage.write(storage.join(task.run, METRICS, f"{told['epoch']:05}.json"), json.dumps(told).encode())
        with tempfile.TemporaryDirectory() as folder:
            learner.save(Path(folder))
            keep(task.run, learner.progress.step, Path(folder))
    ray.train.report(told)


def mix(task: Task, learner: Learner, watch: Watch) -> None:
    """Choose between the old adapters and the new, and what lies between, by the mean over all validation generators.

    Source: interpolation of old and new weights against forgetting, arXiv:2601.05580.
    """
    old, new = adapters_of(registry.locate(task.base, task.digest)), learner.best
    scores: dict[float, float] = {}
    for share in SHARES:
        learner.become({name: old[name] * (1 - share) + new[name] * share for name in new})
        scores[share] = float(np.mean(list(watch.scores(learner).values())))
    chosen = max(SHARES, key=lambda share: (scores[share], share))
    learner.best = {name: old[name] * (1 - chosen) + new[name] * chosen for name in new}
    learner.progress.mixed = chosen
    tell(task, learner, {"epoch": MIXING, "shares": {str(share): score for share, score in scores.items()}})
