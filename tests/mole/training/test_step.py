"""Laws of training."""

import math

import pytest
import torch
from torch import Tensor

from mole.config import DetectorConfig
from mole.errors import ModelError, SettingsError
from mole.model.detector import MoLE, learned, stored
from mole.tower.vit import Tower
from mole.training.step import Rates, disagreement, fit_head, optimizer_for, training_step
from tests.tiny import CONFIG, SHAPE


@pytest.fixture
def detector() -> MoLE:
    torch.manual_seed(0)
    return MoLE(Tower(SHAPE), CONFIG)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Trunk tokens of eight images whose class shows in the class token, and their labels."""
    torch.manual_seed(1)
    token_BTD, label_B = torch.randn(8, 50, 64), (torch.arange(8) % 2).float()
    token_BTD[:, 0] += 2 * label_B[:, None]
    return token_BTD, label_B


def test_steps_lower_the_loss(detector: MoLE, batch: tuple[Tensor, Tensor]) -> None:
    optimizer = optimizer_for(detector, Rates(head=1e-2, experts=1e-2))
    losses = [training_step(detector, optimizer, *batch).loss for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_step_moves_what_learns_and_nothing_else(detector: MoLE, batch: tuple[Tensor, Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    optimizer = optimizer_for(detector, Rates())
    for _ in range(2):  # the router and the down-projections feel nothing until the up-projections have left zero
        training_step(detector, optimizer, *batch)
    moved = {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == learned(detector).keys()


def test_a_rate_of_zero_holds_the_experts_still(detector: MoLE, batch: tuple[Tensor, Tensor]) -> None:
    before = {name: parameter.detach().clone() for name, parameter in learned(detector).items()}
    training_step(detector, optimizer_for(detector, Rates(head=1e-2, experts=0.0)), *batch)
    moved = {name for name, parameter in learned(detector).items() if not torch.equal(parameter, before[name])}
    assert moved == {"head.0.weight", "head.0.bias"}


def test_a_step_reports_the_load_of_each_expert(detector: MoLE, batch: tuple[Tensor, Tensor]) -> None:
    report = training_step(detector, optimizer_for(detector, Rates()), *batch)
    assert len(report.load_E) == len(CONFIG.expert_ranks)
    assert sum(report.load_E) == pytest.approx(1.0)


def test_tokens_that_are_no_numbers_stop_the_training(detector: MoLE, batch: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ModelError, match="must be finite, got nan"):
        training_step(detector, optimizer_for(detector, Rates()), batch[0] * math.nan, batch[1])


def test_two_deliveries_of_an_image_that_agree_cost_nothing_and_those_that_do_not_their_squared_difference(
    detector: MoLE, batch: tuple[Tensor, Tensor]
) -> None:
    assert float(disagreement(torch.tensor([1.0, 1.0, -2.0, -2.0]))) == 0.0
    assert float(disagreement(torch.tensor([1.0, 3.0, -2.0, -2.0]))) == pytest.approx(2.0)
    twice = batch[0].repeat_interleave(2, dim=0), batch[1].repeat_interleave(2)
    plain, same = (
        training_step(detector, optimizer_for(detector, Rates(head=0.0, experts=0.0)), *twice, consistency=weight).loss
        for weight in (0.0, 10.0)
    )
    assert same == pytest.approx(plain, abs=1e-6)


def test_negative_rates_are_refused() -> None:
    with pytest.raises(SettingsError, match="-0.1"):
        Rates(head=-0.1)


def test_a_detector_without_experts_trains_its_head(batch: tuple[Tensor, Tensor]) -> None:
    plain = MoLE(Tower(SHAPE), DetectorConfig(adapted_blocks=0, shared_rank=0, expert_ranks=()))
    assert len(optimizer_for(plain, Rates()).param_groups) == 1


def test_the_fitted_head_stands_where_the_gradient_vanishes(detector: MoLE) -> None:
    torch.manual_seed(2)
    feature_NF, weight_N = torch.randn(60, 32), torch.rand(60)
    label_N = (feature_NF[:, 0] + torch.randn(60) > 0).float()
    fit_head(detector, feature_NF, label_N, weight_N, penalty=0.1)
    head = next(layer for layer in detector.head if isinstance(layer, torch.nn.Linear))
    residual_N = weight_N / weight_N.sum() * (torch.sigmoid(head(feature_NF).squeeze(-1)) - label_N)
    assert float(residual_N.sum().abs().detach()) < 1e-4
    assert torch.allclose(residual_N @ feature_NF, -0.1 * head.weight.squeeze(0), atol=1e-4)


def test_an_image_of_no_weight_does_not_count(detector: MoLE) -> None:
    torch.manual_seed(3)
    feature_NF, label_N = torch.randn(20, 32), (torch.arange(20) % 2).float()
    weight_N = torch.ones(20)
    weight_N[10:] = 0
    whole = fit_head(detector, feature_NF, label_N, weight_N, penalty=0.1)
    assert whole == pytest.approx(
        fit_head(detector, feature_NF[:10], label_N[:10], torch.ones(10), penalty=0.1), rel=1e-4
    )


KERNEL = DetectorConfig(blocks=(1,), reads=(2, 3), head="kernel", components=8, centres=30)


@pytest.mark.parametrize(
    "config", [KERNEL, KERNEL.model_copy(update={"head": "layers"}), DetectorConfig(head_depth=2, blocks=(3,))]
)
def test_fitting_sets_the_head_and_nothing_below_it(config: DetectorConfig) -> None:
    torch.manual_seed(0)
    detector = MoLE(Tower(SHAPE), config)
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    view_N3SS, label_N = torch.randn(40, 3, 224, 224), (torch.arange(40) % 2).float()
    with torch.no_grad():
        feature_NF = detector.feature(detector.trunk(view_N3SS))[0] + 3 * label_N[:, None]
    fit_head(detector, feature_NF, label_N, torch.ones(40), penalty=1e-3)
    moved = {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if name.startswith("head.")}
    with torch.no_grad():
        assert ((detector.head(feature_NF).squeeze(-1) > 0) == (label_N > 0.5)).all()


@pytest.mark.parametrize("pooling", [("class",), ("class", "mean", "deviation")])
def test_experts_below_a_kernel_head_learn_and_what_it_was_fitted_by_stays(pooling: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    config = DetectorConfig.model_validate(KERNEL.model_dump() | {"pooling": pooling})
    detector = MoLE(Tower(SHAPE), config)
    token_BTD, label_B = torch.randn(30, 50, 64), (torch.arange(30) % 2).float()
    token_BTD[:, :, :4] += label_B[:, None, None]
    with torch.no_grad():
        feature_BF = detector.feature(token_BTD)[0]
    fit_head(detector, feature_BF, label_B, torch.ones(30), penalty=1.0)
    before = {name: tensor.detach().clone() for name, tensor in stored(detector).items()}
    optimizer = optimizer_for(detector, Rates(head=1e-3, experts=1e-2))
    losses = [training_step(detector, optimizer, token_BTD, label_B).loss for _ in range(10)]
    moved = {name for name, tensor in stored(detector).items() if not torch.equal(tensor, before[name])}
    assert moved == learned(detector).keys() and losses[-1] < losses[0]


def test_a_whitening_of_more_than_one_is_refused(detector: MoLE) -> None:
    with pytest.raises(SettingsError, match=r"whitening must lie in \[0, 1\], got 2"):
        fit_head(detector, torch.randn(4, 32), torch.tensor([0.0, 1, 0, 1]), torch.ones(4), 0.1, whitening=2)


def test_no_penalty_is_refused(detector: MoLE) -> None:
    with pytest.raises(SettingsError, match="got 0"):
        fit_head(detector, torch.randn(4, 32), torch.tensor([0.0, 1, 0, 1]), torch.ones(4), penalty=0)
