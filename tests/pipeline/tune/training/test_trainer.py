"""Laws of distributed training on Ray Train: the curve is the same on any number of workers and after failures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
import torch
from safetensors.torch import load_file
from torch import Tensor

from mole.config import describe
from mole.measuring.metrics import auroc
from mole.views.preprocess import Preprocess
from pipeline.storage import storage
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.training.checkpoints import last_checkpoint
from pipeline.tune.training.learner import ADAPTERS
from pipeline.tune.training.loop import build_learner
from pipeline.tune.training.plan import sampling_plan
from pipeline.tune.training.sampling import DatasetSpec
from pipeline.tune.training.task import Schedule, Stage, Task
from pipeline.tune.training.trainer import TrainingResult, history, train
from pipeline.tune.training.training_run import TrainingRun
from pipeline.tune.training.view_requests import augmented_views, clean_views
from tests.pictures import picture
from tests.tiny import CONFIG, tiny_checkpoint

DISTANCE = 0.05  # of the last weights, over their length; 0.006 was seen
TOLERANCE = 5e-4  # of a loss near 0.7; sums in another order drift apart, 1.3e-4 was seen
SCHEDULE = Schedule(2, 8, (Stage("all", 3),), penalty=1e-2, head_rate=1e-3, expert_rate=1e-3, decay=0.0, patience=9)
BATCH = 8
pytestmark = pytest.mark.slow
END = 600.0  # seconds after which waiting for a process is given up


def materials(folder: Path) -> tuple[Path, list[Sample], list[Sample]]:
    """Write a tiny detector and pictures of two sources, whose class shows in their sharpness; the same every time."""
    model = tiny_checkpoint(folder / "base", preprocess=Preprocess(mode="resize"))
    samples = []
    for number in range(30):
        file = folder / "pictures" / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(picture(number, side=400 if number % 2 else 120))
        source = "made" if number % 2 else "photos"
        samples.append(Sample(str(file), number % 2, source, group=f"{number}"))  # the group seeds the augmentation
    return model, samples[:22], samples[22:]


def prepared(folder: Path, run: Path) -> TrainingRun:
    """Write the pictures and the detector, and prepare a training on them."""
    model, training, validation = materials(folder)
    found = describe(model)
    task = Task(
        base=str(model),
        digest=found.digest,
        keep_adapters=False,
        detector=CONFIG,
        spec=found.preprocess,
        bfloat16=False,
        schedule=SCHEDULE,
        batch_size=BATCH,
        seed=0,
        run=storage.absolute(str(run)),
        labels=tuple(sample.label for sample in validation),
        sources=tuple(sample.source for sample in validation),
        stopping_generators=(),
    )
    plan = sampling_plan(task, training, contents=[""] * len(training), variants=None, views=1)
    sets = [DatasetSpec(to_table(samples), found.preprocess) for samples in (training, validation)]
    return TrainingRun(task, plan, sets[0], sets[1], None, {})


def run_training(folder: Path, run: Path, *, processes: int) -> TrainingResult:
    """Train on the connected Ray."""
    return train(prepared(folder, run), processes=processes, gpu=False)


def train_alone(folder: Path) -> tuple[list[float], list[float], Tensor]:
    """Train by a plain loop in this process, without Ray: loss of each step, AUROC of each epoch, final weights."""
    run = prepared(folder, folder / "run")
    task, plan, training, validation = run.task, run.plan, run.training, run.validation
    learner = build_learner(task, torch.device("cpu"))
    still = torch.from_numpy(clean_views({"id": np.arange(len(task.labels))}, validation)["pixels"])
    made = np.array(task.labels) == 1
    losses, scores = [], []
    for step in range(plan.steps):
        batch = augmented_views({"id": np.arange(step * BATCH, (step + 1) * BATCH)}, plan, training, seed=task.seed)
        report = learner.train_step(learner.tokens(torch.from_numpy(batch["pixels"])), torch.from_numpy(batch["label"]))
        losses += [report.loss] if report else []
        if learner.progress.step % SCHEDULE.steps == 0:
            logits = learner.logits(learner.tokens(still))
            scores.append(auroc(logits[~made], logits[made]))
    return losses, scores, in_a_row(learner.state())


def in_a_row(state: Mapping[str, Tensor]) -> Tensor:
    """Concatenate all trained parameters."""
    return torch.cat([tensor.flatten() for _, tensor in sorted(state.items())])


def kill_a_worker() -> bool:
    """Kill a training worker that the tests' Ray started; return whether there was one."""
    for child in psutil.Process().children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(child.cmdline()):
                child.kill()
                return True
        except psutil.Error:
            continue  # gone since it was listed
    return False


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    """Wait until something holds, for as long as the driver lives."""
    end = time.monotonic() + END
    while not what() and driver.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def test_two_workers_one_killed_and_then_their_driver_end_where_a_plain_loop_ends(
    local_ray: None, root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    script = (
        "import sys; from pathlib import Path; from pipeline.runtime import cluster; from tests.pipeline.tune.training import test_trainer as t\n"
        "with cluster.connected(sys.argv[3], logs=False):\n"
        "    t.run_training(Path(sys.argv[1]), Path(sys.argv[2]), processes=2)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(run), ray.get_runtime_context().gcs_address],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(history(str(run))) >= 1, driver)
    assert kill_a_worker(), "the training was over before a worker could be killed"
    wait_for(lambda: len(history(str(run))) >= 2, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert 2 <= len(history(str(run))) < SCHEDULE.epochs, "the driver was not killed within the training"

    trained = run_training(tmp_path, run, processes=1)
    assert [epoch["step"] for epoch in trained.history] == [8, 16, 24]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert sum(trained.history[-1]["load"]) == pytest.approx(1.0)
    losses, scores, end_P = train_alone(tmp_path / "alone")
    assert len(losses) == SCHEDULE.last_step - SCHEDULE.warmup_steps
    assert [loss for epoch in trained.history for loss in epoch["losses"]] == pytest.approx(losses, abs=TOLERANCE)
    assert [epoch["validation"]["made"] for epoch in trained.history] == pytest.approx(scores, abs=0.05)
    with last_checkpoint(str(run)) as folder:  # the best weights may be of another epoch, where two are near
        assert folder is not None
        distance = (in_a_row(load_file(folder / ADAPTERS)) - end_P).norm() / end_P.norm()
    assert float(distance) < DISTANCE
