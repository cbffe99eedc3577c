"""Laws of what Ray calls by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from mole.views.preprocess import Preprocess
from pipeline.tune import workers
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.training.sampling import DatasetSpec, sample_epochs
from pipeline.tune.training.view_requests import augmented_views
from tests.pictures import picture


def test_naming_the_functions_of_workers_imports_no_torch(root: Path) -> None:
    code = "import sys; import pipeline.tune.workers; sys.exit(', '.join({'torch', 'PIL'} & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_resumed_training_makes_the_views_of_the_steps_that_are_left(tmp_path: Path) -> None:
    samples = [
        Sample(str(tmp_path / f"{number}.jpg"), number % 2, "made" if number % 2 else "photos") for number in (0, 1)
    ]
    for number, sample in enumerate(samples):
        Path(sample.uri).write_bytes(picture(number))
    kinds = [(sample.label, sample.source) for sample in samples]
    plan = sample_epochs(kinds, epochs=1, steps=3, batch_size=2, seed=0)
    dataset = DatasetSpec(to_table(samples), Preprocess(mode="resize"))
    resumed = workers.augmented_views({"id": np.arange(2)}, plan=plan, first=2, dataset=dataset, seed=5)
    wanted = augmented_views({"id": np.arange(4, 6)}, plan, dataset, seed=5)
    assert resumed["step"].tolist() == [2, 2]
    assert all(np.array_equal(resumed[name], column) for name, column in wanted.items())
