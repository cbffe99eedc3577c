"""Laws of the train loop; whole trainings are in test_fold.py and test_trainer.py."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.tune.training.loop import auroc_by_generator, mean_score
from pipeline.tune.training.sampling import PADDING
from pipeline.tune.training.task import Task
from tests.pipeline.tune.training.test_version import task_for


@pytest.fixture
def task(tiny: Path) -> Task:
    return replace(task_for(tiny), labels=(0, 0, 1, 1), sources=("photos", "photos", "made", "other"))


def test_a_generator_is_compared_with_all_reals_by_the_mean_of_each_images_views(task: Task) -> None:
    place_V = np.array([0, 0, 1, 1, 2, 2, 3, 3, PADDING])
    logit_V = np.array([0, 4, 1, 3, 9, -3, 0, 0, 99], np.float32)  # means 2, 2, 3, 0
    assert auroc_by_generator(task, place_V, logit_V) == {"made": 1.0, "other": 0.0}


def test_without_reals_nothing_is_scored(task: Task) -> None:
    alone = replace(task, labels=(1,), sources=("made",))
    assert auroc_by_generator(alone, np.array([0]), np.array([1], np.float32)) == {}


def test_held_out_generators_decide_or_all_without_them(task: Task) -> None:
    assert mean_score(task, {"made": 0.7, "other": 0.9}) == pytest.approx(0.8)
    assert mean_score(
        replace(task, stopping_generators=("other", "photos")), {"made": 0.7, "other": 0.9}
    ) == pytest.approx(0.9)
    assert mean_score(replace(task, stopping_generators=("photos",)), {"made": 0.7, "other": 0.9}) == pytest.approx(0.8)
    assert mean_score(task, {}) is None
