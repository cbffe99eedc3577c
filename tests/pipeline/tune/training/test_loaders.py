"""Laws of the batch loaders; training on many workers is in test_trainer.py, on cached tokens in test_fold.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.data
import torch
from torch import Tensor

from mole.errors import LawError
from mole.model.detector import MoLE, learned
from mole.tower.vit import Tower
from mole.views.preprocess import Preprocess
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.loaders import CachedLoader, StreamingLoader, WorkerRank
from pipeline.tune.training.loop import validation_scores
from pipeline.tune.training.sampling import PADDING, SamplingPlan
from pipeline.tune.training.task import CachedViews, Stage
from pipeline.tune.training.token_cache import FEATURE, TOKEN, write_block
from tests.pipeline.tune.training.test_learner import SCHEDULE
from tests.pipeline.tune.training.test_version import task_for
from tests.tiny import CONFIG, SHAPE


@pytest.fixture
def learner() -> Learner:
    torch.manual_seed(0)
    return Learner(MoLE(Tower(SHAPE), CONFIG), Preprocess(mode="crop"), SCHEDULE)


def streamed(steps: list[int]) -> Any:
    """Stream one view per number of `steps`, each as bright as its place."""

    def make(ids: Any) -> Any:
        pixels = np.ones((len(ids["id"]), 3, 224, 224), np.uint8) * ids["id"][:, None, None, None].astype(np.uint8)
        place = np.where(ids["id"] < 3, ids["id"], PADDING)
        return {
            "pixels": pixels,
            "label": ids["id"].astype(np.float32),
            "step": np.array(steps)[ids["id"]],
            "sample_index": place,
        }

    ids = ray.data.range(len(steps), override_num_blocks=1)
    ids.context.execution_options.preserve_order = True  # as in a training
    return ids.map_batches(make, batch_size=None).iterator()


def test_steps_before_the_checkpoint_are_skipped_and_the_rest_come_in_order(local_ray: None, learner: Learner) -> None:
    learner.progress.step = 1
    loader = StreamingLoader(streamed([0, 0, 1, 1, 2, 2]), streamed([0]), 2, learner)
    for step in (1, 2):
        assert loader.next_batch(learner)[1].tolist() == [2 * step, 2 * step + 1]
        learner.progress.step += 1
    with pytest.raises(LawError, match="step 3 received no views"):
        loader.next_batch(learner)


@pytest.mark.parametrize("steps", [[2, 2], [0, 1], [0]])
def test_views_of_another_step_than_the_next_stop_the_training(
    local_ray: None, learner: Learner, steps: list[int]
) -> None:
    with pytest.raises(LawError, match=r"step 0 received \d views of steps"):
        StreamingLoader(streamed(steps), streamed([0]), 2, learner).next_batch(learner)


class Recorded(Learner):
    """A learner that records the weights of the views its head is fitted to."""

    weights: Tensor

    def fit_head(self, feature_NF: Tensor, label_N: Tensor, weight_N: Tensor) -> None:
        """Record the weights, and fit."""
        self.weights = weight_N
        super().fit_head(feature_NF, label_N, weight_N)


def test_once_experts_are_trained_a_temporary_head_is_fitted_to_one_view_per_sample_and_the_own_head_to_all(
    tmp_path: Path,
) -> None:
    stages = (Stage("experts", 1, ("alpha",), head="layers"), Stage("all", 1))
    torch.manual_seed(0)
    learner = Recorded(MoLE(Tower(SHAPE), CONFIG), Preprocess(mode="crop"), replace(SCHEDULE, stages=stages))
    keys = tuple(f"{number}" for number in range(3 * 2 * 2))
    token_NTD = learner.tokens(torch.randint(0, 256, (len(keys), 3, 224, 224), dtype=torch.uint8))
    write_block(tmp_path, keys, {TOKEN: token_NTD, FEATURE: learner.features(token_NTD)})
    weights = ((0.5, 0.25, 0.25),) * 2
    views = CachedViews(str(tmp_path), keys, 2, 2, (0, 1, 1), weights, (), has_tokens=True)
    none = np.zeros(0, np.int64)
    loader = CachedLoader(views, SamplingPlan(none, none, none, 4), WorkerRank())

    def fitted(*, trained: bool) -> int:
        with torch.no_grad():
            for name, parameter in learned(learner.detector).items():
                if trained and name.endswith("up_DR"):
                    parameter.fill_(0.01)
        assert loader.fit_head(learner)
        return int((learner.weights > 0).sum())

    assert fitted(trained=False) == len(keys)
    assert fitted(trained=True) == 3
    learner.next_stage()
    assert fitted(trained=True) == len(keys)


def test_an_image_is_scored_by_the_mean_of_its_views_and_padding_is_ignored(
    local_ray: None, learner: Learner, tiny: Path
) -> None:
    task = replace(task_for(tiny), labels=(0, 0, 1), sources=("photos", "photos", "made"))
    loader = StreamingLoader(streamed([0]), streamed([0] * 5), 1, learner)
    places, logits = loader.validation_logits(learner)
    assert places.tolist() == [0, 1, 2, PADDING, PADDING] and np.isfinite(logits).all()
    scored = validation_scores(task, learner, loader)
    assert set(scored) == {"made"}
    loader.index_N = np.array([0, 1, 2, 2, 1])
    assert set(validation_scores(task, learner, loader)) == {"made"}
