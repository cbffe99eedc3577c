"""Laws of the learner: alone in its process; what many do together is in test_trainer.py."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mole.config import DetectorConfig
from mole.detector import MoLE, learned
from mole.errors import ModelError
from mole.preprocess import Preprocess
from mole.tower import Tower
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.task import Course
from tests.tiny import CONFIG, SHAPE

COURSE = Course(looking=2, steps=4, epochs=3, penalty=1e-2, head_rate=1e-2, expert_rate=1e-2, decay=0.0, patience=2)


KERNEL = DetectorConfig(blocks=(1,), reads=(2, 3), head="kernel", components=4, centres=8)


def learner(course: Course = COURSE, config: DetectorConfig = CONFIG) -> Learner:
    torch.manual_seed(0)
    return Learner(MoLE(Tower(SHAPE), config), Preprocess(mode="crop"), course)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    """Views whose class shows in their brightness."""
    torch.manual_seed(1)
    label_B = (torch.arange(4) % 2).float()
    return [
        ((torch.rand(4, 3, 224, 224) * 100 + 150 * label_B[:, None, None, None]).to(torch.uint8), label_B)
        for _ in range(count)
    ]


def test_looking_moves_nothing_and_the_head_is_fitted_to_all_that_was_seen() -> None:
    one = learner()
    before = one.state()
    views = batches(3)
    assert one.learn(*views[0]) is None
    assert all(torch.equal(before[name], tensor) for name, tensor in one.state().items())
    assert one.learn(*views[1]) is None
    moved = {name for name, tensor in one.state().items() if not torch.equal(before[name], tensor)}
    assert moved == {"head.0.weight", "head.0.bias"}
    assert one.learn(*views[2]) is not None
    assert set(learned(one.detector)) > moved


@pytest.mark.parametrize("config", [CONFIG, KERNEL])
def test_a_learner_that_is_saved_and_restored_goes_on_as_if_nothing_had_happened(
    config: DetectorConfig, tmp_path: Path
) -> None:
    views = batches(8)
    through = learner(config=config)
    for view in views:
        through.learn(*view)
    first, second = learner(config=config), learner(replace(COURSE), config)
    for view in views[:5]:
        first.learn(*view)
    first.judge(0.7)
    first.save(tmp_path)
    second.restore(tmp_path)
    assert second.progress == first.progress
    for view in views[5:]:
        second.learn(*view)
    assert all(torch.equal(tensor, second.state()[name]) for name, tensor in through.state().items())
    assert all(torch.equal(tensor, second.best[name]) for name, tensor in first.best.items())


def test_the_best_is_kept_and_patience_ends_the_training() -> None:
    one = learner()
    for view in batches(3):
        one.learn(*view)
    one.judge(0.8)
    best = one.best
    one.learn(*batches(1)[0])
    one.judge(0.7)
    assert not one.done
    one.judge(0.8)  # as good is not better
    assert (one.done, one.progress.stale) == (True, 2)
    assert all(torch.equal(tensor, one.best[name]) for name, tensor in best.items())


def test_the_last_step_ends_it_too() -> None:
    one = learner(replace(COURSE, steps=1, epochs=3))
    for view in batches(3):
        assert not one.done
        one.learn(*view)
    assert one.done


def test_the_trunk_keeps_no_gradient_and_nothing_frozen_has_one() -> None:
    one = learner(replace(COURSE, looking=0))
    assert not one.tokens(batches(1)[0][0]).requires_grad
    one.learn(*batches(1)[0])
    names = {name for name, parameter in one.detector.named_parameters() if parameter.grad is not None}
    assert names == set(learned(one.detector))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="missing"):
        learner().become({})
