"""Laws of attention for training."""

from typing import cast

import pytest
import torch
from torch import nn

from mole.config import DetectorConfig
from mole.model.detector import MoLE, learned
from mole.tower.attention import attend, prepare_for_training
from mole.tower.vit import Block, Tower
from tests.tiny import CONFIG, SHAPE


@pytest.fixture
def detector() -> MoLE:
    torch.manual_seed(0)
    return MoLE(Tower(SHAPE), CONFIG)


def test_it_gives_what_the_module_gives() -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(32, 4, batch_first=True)
    token_BTD = torch.randn(2, 5, 32)
    assert torch.allclose(attend(module, token_BTD), module(token_BTD, token_BTD, token_BTD)[0], atol=1e-6)


def test_logits_without_gradients_stay_bit_for_bit(detector: MoLE) -> None:
    view_B3SS = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        before_B = detector.eval()(view_B3SS).logit_B
        prepare_for_training(detector)
        assert torch.equal(detector(view_B3SS).logit_B, before_B)


def test_logits_with_gradients_are_the_same_up_to_rounding(detector: MoLE) -> None:
    view_B3SS = torch.randn(2, 3, 224, 224)
    before_B = detector(view_B3SS).logit_B
    prepare_for_training(detector)
    assert torch.allclose(detector(view_B3SS).logit_B, before_B, atol=1e-4)


def test_the_plain_blocks_that_gradients_pass_attend_so_too() -> None:
    torch.manual_seed(0)
    detector = MoLE(Tower(SHAPE), DetectorConfig(blocks=(1,), reads=(2, 4)))
    prepare_for_training(detector)
    plain = cast(Block, detector.tower.transformer.resblocks[3])
    plain.attn.register_forward_pre_hook(lambda *_: pytest.fail("torch's own path"))
    detector(torch.randn(2, 3, 224, 224)).logit_B.sum().backward()
    assert all(parameter.grad is not None for parameter in learned(detector).values())


def test_it_adds_no_parameter(detector: MoLE) -> None:
    names = detector.state_dict().keys()
    prepare_for_training(detector)
    assert detector.state_dict().keys() == names
