"""Worker: trains from the cache or from the datasets to the end, resumes, reports, and leaves cores to its neighbours."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.data
import torch
from ray.train import Result, ScalingConfig
from ray.train.torch import TorchTrainer

from mole.errors import CompletenessError
from pipeline.storage import storage
from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter
from pipeline.tune.data.samples import Sample
from pipeline.tune.training.checkpoints import last_checkpoint
from pipeline.tune.training.loop import build_learner
from pipeline.tune.training.plan import sampling_plan
from pipeline.tune.training.sampling import SamplingPlan
from pipeline.tune.training.task import CachedViews, Schedule, Stage, Task
from pipeline.tune.training.token_cache import FEATURE, TOKEN, write_block
from pipeline.tune.training.trainer import history
from pipeline.tune.training.worker import train_loop_per_worker
from tests.pipeline.tune.training.test_version import task_for

SCHEDULE = Schedule(0, 3, (Stage("all", 2),), penalty=1e-2, head_rate=1e-3, expert_rate=1e-3, decay=0.0, patience=9)
SAMPLES, BATCH = 8, 4


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Set as many threads as before when a test is over."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def trained(config: Mapping[str, Any], **datasets: Any) -> Result:
    """Train in this process, as Ray Train's own local mode does."""
    alone = ScalingConfig(num_workers=0)
    return TorchTrainer(
        train_loop_per_worker, train_loop_config=dict(config), scaling_config=alone, datasets=datasets or None
    ).fit()


def reporter() -> tuple[ProgressCounter, ProgressReporter]:
    """Make a counter, and what reports to it."""
    counter = ProgressCounter()
    return counter, ProgressReporter(counter, 1, "model")


@pytest.fixture
def cached(tiny: Path, tmp_path: Path) -> dict[str, Any]:
    """The config of a worker that trains from a cache; four samples validate it."""
    labels = tuple(number % 2 for number in range(SAMPLES))
    task = replace(
        task_for(tiny),
        schedule=SCHEDULE,
        batch_size=BATCH,
        run=storage.absolute(str(tmp_path / "run")),
        labels=labels,
        sources=tuple("made" if label else "photos" for label in labels),
    )
    learner = build_learner(task, torch.device("cpu"))
    keys = tuple(str(number) for number in range(SAMPLES))
    folder = tmp_path / "cache"
    folder.mkdir()
    torch.manual_seed(0)
    token_NTD = learner.tokens(torch.randint(0, 256, (SAMPLES, 3, 224, 224), dtype=torch.uint8))
    write_block(folder, keys, {TOKEN: token_NTD, FEATURE: learner.features(token_NTD)})
    weights = (tuple(1 / SAMPLES for _ in keys),)
    found = CachedViews(str(folder), keys, 1, 1, labels, weights, keys, has_tokens=True)
    return {"task": task, "cached": found, "plan": plan_for(task)}


def plan_for(task: Task) -> SamplingPlan:
    """Draw the samples of every step."""
    kinds = zip(task.labels, task.sources, strict=True)
    samples = [Sample(str(number), label, source) for number, (label, source) in enumerate(kinds)]
    return sampling_plan(task, samples, contents=[""] * SAMPLES, variants=1, views=1)


def views(rows: int) -> Any:
    """Make a dataset of views that differ in their brightness, in steps of a batch."""

    def make(ids: Any) -> Any:
        id_N = ids["id"]
        pixels = np.zeros((len(id_N), 3, 224, 224), np.uint8) + (20 * id_N % 256).astype(np.uint8)[:, None, None, None]
        return {
            "pixels": pixels,
            "label": (id_N % 2).astype(np.float32),
            "step": id_N // BATCH,
            "sample_index": id_N % SAMPLES,
        }

    ids = ray.data.range(rows, override_num_blocks=1)
    ids.context.execution_options.preserve_order = True  # as in a training
    return ids.map_batches(make, batch_size=None, batch_format="numpy")


def test_a_worker_trains_from_the_cache_to_the_end_and_reports_its_steps_and_epochs(cached: dict[str, Any]) -> None:
    counter, receives = reporter()
    result = trained(cached | {"reporter": receives})
    task = cached["task"]
    assert result.metrics is not None and result.metrics["step"] == SCHEDULE.last_step
    assert [epoch["step"] for epoch in history(task.run)] == [0, 3, 6], "the head is fitted first"
    assert history(task.run)[-1] == {**result.metrics}
    assert 1 <= counter.snapshot(1).scored <= SCHEDULE.last_step
    with last_checkpoint(task.run) as folder:
        assert folder is not None


def test_a_worker_that_is_started_again_goes_on_from_the_last_checkpoint(cached: dict[str, Any]) -> None:
    task = cached["task"]
    half = replace(task, schedule=replace(SCHEDULE, stages=(Stage("all", 1),)))
    trained(cached | {"task": half})
    assert [epoch["step"] for epoch in history(task.run)] == [0, 3]
    counter, receives = reporter()
    trained(cached | {"reporter": receives})
    assert [epoch["step"] for epoch in history(task.run)] == [0, 3, 6]
    assert counter.snapshot(1).scored > 3
    counter, receives = reporter()
    trained(cached | {"reporter": receives})
    assert [epoch["step"] for epoch in history(task.run)] == [0, 3, 6] and counter.snapshot(1).scored == 0


def test_without_a_cache_a_worker_trains_on_the_views_that_are_streamed_to_it(
    local_ray: None, cached: dict[str, Any]
) -> None:
    schedule = replace(SCHEDULE, warmup_steps=1)
    task = replace(cached["task"], schedule=schedule)
    trained({"task": task}, train=views(BATCH * schedule.last_step), validation=views(SAMPLES))
    assert [epoch["step"] for epoch in history(task.run)] == [3, 6], "the head is fitted to the warm-up steps"
    assert [len(epoch["losses"]) for epoch in history(task.run)] == [2, 3]


def test_views_that_are_not_those_of_the_plan_end_the_training(local_ray: None, cached: dict[str, Any]) -> None:
    task = replace(cached["task"], schedule=replace(SCHEDULE, warmup_steps=1))
    with pytest.raises(CompletenessError, match="step 2 received no views"):
        trained({"task": task}, train=views(2 * BATCH), validation=views(SAMPLES))


def test_workers_of_a_machine_share_its_cores(cached: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    trained(cached)
    assert torch.get_num_threads() == 6
    group = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": 0}
    for name, value in (group | {"MASTER_ADDR": "127.0.0.1"}).items():
        monkeypatch.setenv(name, str(value))
    trained(cached)
    assert torch.get_num_threads() == 3
