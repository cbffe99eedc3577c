"""Laws of the stages; how a training goes through them is in test_learner.py."""

import pytest
import torch

from mole.model.detector import MoLE, learned
from mole.tower.vit import Tower
from pipeline.tune.training.stages import EXPERTS, NAMES, ROUTER, SHARED, trainable_masks, without_untrained_experts
from tests.tiny import CONFIG, SHAPE


@pytest.fixture(scope="module")
def detector() -> MoLE:
    torch.manual_seed(0)
    return MoLE(Tower(SHAPE), CONFIG)


def test_the_experts_share_the_weights_out_and_each_moves_its_own(detector: MoLE) -> None:
    whole = sum(mark.sum() for mark in trainable_masks(detector, ()).values())
    assert whole == sum(parameter.numel() for parameter in learned(detector).values())
    head = sum(parameter.numel() for parameter in detector.head.parameters())
    names = (*EXPERTS[: len(CONFIG.expert_ranks)], SHARED, ROUTER)
    each = [int(sum(mark.sum() for mark in trainable_masks(detector, (name,)).values())) - head for name in names]
    blocks, width = CONFIG.adapted_blocks, SHAPE.width
    assert each == [2 * blocks * width * rank for rank in (*CONFIG.expert_ranks, CONFIG.shared_rank)] + [
        3 * blocks * width
    ]
    assert sum(each) + head == whole


@pytest.mark.parametrize("learns", [(), (ROUTER,), (SHARED, ROUTER)])
def test_where_the_router_learns_every_expert_speaks(detector: MoLE, learns: tuple[str, ...]) -> None:
    state = {name: torch.ones_like(parameter).detach() for name, parameter in learned(detector).items()}
    assert all(
        torch.equal(tensor, state[name]) for name, tensor in without_untrained_experts(detector, learns, state).items()
    )


def test_names_are_as_many_as_experts_can_have(detector: MoLE) -> None:
    assert len(set(NAMES)) == len(NAMES) == len(EXPERTS) + 2
