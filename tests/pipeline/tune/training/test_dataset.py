"""Laws of the datasets of a training without a token cache, on the tests' Ray."""

import json
from pathlib import Path

import numpy as np
import pytest

from mole.views.preprocess import Preprocess
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.training.checkpoints import PROGRESS
from pipeline.tune.training.dataset import training_dataset, validation_dataset
from pipeline.tune.training.sampling import PADDING, DatasetSpec, sample_epochs
from tests.pictures import picture

pytestmark = pytest.mark.slow


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Three pictures of two classes."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    return [Sample(str(tmp_path / f"{number}.jpg"), number % 2, "photos") for number in range(3)]


def test_each_worker_has_a_block_of_every_step_after_the_last_checkpoint(
    local_ray: None, tmp_path: Path, samples: list[Sample]
) -> None:
    (tmp_path / PROGRESS).write_text(json.dumps({"steps": 1, "number": 1, "files": []}))
    kinds = [(sample.label, sample.source) for sample in samples]
    plan = sample_epochs(kinds, epochs=1, steps=3, batch_size=4, seed=0)
    dataset = DatasetSpec(to_table(samples), Preprocess(mode="resize"))
    made = training_dataset(plan, dataset, run=str(tmp_path), processes=2, seed=0)
    blocks = list(made.iter_batches(batch_size=None, batch_format="numpy"))
    assert sorted(block["step"].tolist() for block in blocks) == [[1, 1], [1, 1], [2, 2], [2, 2]]
    drawn = np.concatenate([block["sample_index"] for block in blocks])
    assert sorted(drawn.tolist()) == sorted(plan.sample_K[4:].tolist())


def test_every_sample_is_validated_once_and_workers_have_equally_many_rows(
    local_ray: None, samples: list[Sample]
) -> None:
    dataset = DatasetSpec(to_table(samples), Preprocess(mode="resize"))
    made = validation_dataset(dataset, processes=2, block=2)
    blocks = [block["sample_index"].tolist() for block in made.iter_batches(batch_size=None, batch_format="numpy")]
    assert [len(block) for block in blocks] == [2, 2]
    assert sorted(index for block in blocks for index in block) == [PADDING, 0, 1, 2]
