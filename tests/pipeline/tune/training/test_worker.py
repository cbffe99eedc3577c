"""Laws of what one worker does with what it is handed; what many do together is in test_trainer.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.data
import torch

from mole.detector import MoLE
from mole.errors import LawError
from mole.preprocess import Preprocess
from mole.tower import Tower
from pipeline.tune.training.draws import NOBODY
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.worker import Watch, shares
from tests.pipeline.tune.training.test_learner import COURSE
from tests.pipeline.tune.training.test_version import task_for
from tests.tiny import CONFIG, SHAPE


@pytest.fixture
def learner() -> Learner:
    torch.manual_seed(0)
    return Learner(MoLE(Tower(SHAPE), CONFIG), Preprocess(mode="crop"), COURSE)


def handed(steps: list[int]) -> Any:
    """Hand out a view a step, each as bright as its place."""

    def make(ids: Any) -> Any:
        pixels = np.ones((len(ids["id"]), 3, 224, 224), np.uint8) * ids["id"][:, None, None, None].astype(np.uint8)
        place = np.where(ids["id"] < 3, ids["id"], NOBODY)
        return {
            "pixels": pixels,
            "label": np.zeros(len(place), np.float32),
            "step": np.array(steps)[ids["id"]],
            "place": place,
        }

    ids = ray.data.range(len(steps), override_num_blocks=1)
    ids.context.execution_options.preserve_order = True  # as a training has it
    return ids.map_batches(make, batch_size=None).iterator()


def test_steps_before_the_checkpoint_are_passed_over_and_the_rest_come_in_order(
    local_ray: None, learner: Learner
) -> None:
    learner.progress.step = 1
    seen = []
    for pixels, _ in shares(handed([0, 0, 1, 1, 2, 2]), learner, 2):
        seen.append(int(pixels[0, 0, 0, 0]))
        learner.progress.step += 1
    assert seen == [2, 4]


@pytest.mark.parametrize("steps", [[2, 2], [0, 1], [0]])
def test_a_share_that_is_not_that_of_the_next_step_stops_the_training(
    local_ray: None, learner: Learner, steps: list[int]
) -> None:
    with pytest.raises(LawError, match=r"step 0 was handed \d views of steps"):
        list(shares(handed(steps), learner, 2))


def test_validation_is_in_the_order_of_the_samples_and_filling_rows_count_for_nothing(
    local_ray: None, learner: Learner, tiny: Path
) -> None:
    task = replace(task_for(tiny), labels=(0, 0, 1), sources=("photos", "photos", "made"))
    watch = Watch(task, learner, handed([0] * 5))
    assert len(watch.place_N) == 5
    logit_N = watch.logits(learner)
    assert logit_N.shape == (3,) and np.isfinite(logit_N).all()
    assert set(watch.scores(learner)) == {"made"}
    assert watch.mean({"made": 0.7, "other": 0.9}) == pytest.approx(0.8)
    watch.judges = {"other"}
    assert watch.mean({"made": 0.7, "other": 0.9}) == pytest.approx(0.9)
