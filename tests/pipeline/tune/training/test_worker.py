"""Laws of a training worker, in Ray Train's local mode; many workers are in test_trainer.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ray.data import ExecutionOptions
from ray.train import DataConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from safetensors.torch import load_file

from pipeline.tune.training.checkpoints import last_checkpoint, latest_record
from pipeline.tune.training.dataset import training_dataset, validation_dataset
from pipeline.tune.training.learner import ADAPTERS
from pipeline.tune.training.worker import train_loop_per_worker
from tests.pipeline.tune.training.test_trainer import DISTANCE, in_a_row, prepared, train_alone

pytestmark = pytest.mark.slow


@pytest.fixture
def threads() -> Iterator[None]:
    """Give the tests' number of threads back, which a worker sets for its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_worker_trains_to_the_end_of_the_plan_what_a_plain_loop_trains(
    local_ray: None, threads: None, tmp_path: Path
) -> None:
    run = prepared(tmp_path, tmp_path / "worker")
    task = run.task
    TorchTrainer(
        train_loop_per_worker,
        train_loop_config={"task": task},
        scaling_config=ScalingConfig(num_workers=0),
        datasets={
            "train": training_dataset(run.plan, run.training, run=task.run, processes=1, seed=task.seed),
            "validation": validation_dataset(run.validation, processes=1),
        },
        dataset_config=DataConfig(execution_options=ExecutionOptions(preserve_order=True)),
    ).fit()
    assert latest_record(task.run).steps == run.plan.steps
    with last_checkpoint(task.run) as saved:
        assert saved is not None
        found = in_a_row(load_file(saved / ADAPTERS))
    wanted = train_alone(tmp_path)[2]
    assert (found - wanted).norm() <= DISTANCE * wanted.norm()
