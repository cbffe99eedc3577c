"""The stacked product is the sum over experts, one by one, and a router's weights sum to 1."""

import itertools

import pytest
import torch

from mole.model.experts import Experts
from mole.model.router import Router

WIDTH = 24


def experts(top_k: int = 3, shared: int = 5, ranks: tuple[int, ...] = (2, 3, 4)) -> Experts:
    """Make experts whose every weight is drawn."""
    torch.manual_seed(0)
    made = Experts(WIDTH, shared, expert_ranks=ranks, top_k=top_k, scale=0.5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_the_stacked_product_is_the_sum_over_the_experts(top_k: int) -> None:
    made, token_BTD = experts(top_k), torch.randn(2, 7, WIDTH)
    delta_BTD, weight_BTE = made(token_BTD)
    bounds = [0, 5, 7, 10, 14]
    parts = [
        token_BTD @ made.down_RD[first:behind].T @ made.up_DR[:, first:behind].T
        for first, behind in itertools.pairwise(bounds)
    ]
    gated = sum(weight_BTE[..., number : number + 1] * part for number, part in enumerate(parts[1:]))
    torch.testing.assert_close(delta_BTD, 0.5 * (parts[0] + gated), rtol=1e-4, atol=1e-4)


def test_fresh_experts_add_nothing() -> None:
    delta_BTD, weight_BTE = Experts(WIDTH, 2, expert_ranks=(1, 2), top_k=2)(torch.randn(3, 4, WIDTH))
    assert torch.equal(delta_BTD, torch.zeros(3, 4, WIDTH))
    assert torch.equal(weight_BTE, torch.full((3, 4, 2), 0.5))


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_a_tokens_weights_sum_to_one_and_only_the_chosen_experts_have_any(top_k: int) -> None:
    weight_BTE = experts(top_k)(torch.randn(2, 50, WIDTH))[1]
    torch.testing.assert_close(weight_BTE.sum(dim=-1), torch.ones(2, 50))
    assert ((weight_BTE > 0).sum(dim=-1) == top_k).all()


def test_a_router_weighs_in_float32_whatever_it_is_given() -> None:
    router = Router(WIDTH, 3, top_k=3)
    assert router(torch.randn(1, 2, WIDTH, dtype=torch.bfloat16)).dtype is torch.float32


def test_experts_without_separate_ones_have_no_router_and_no_weights() -> None:
    made = Experts(WIDTH, 4, expert_ranks=(), top_k=0)
    delta_BTD, weight_BTE = made(torch.randn(2, 3, WIDTH))
    assert made.router is None and delta_BTD.shape == (2, 3, WIDTH) and weight_BTE.shape == (2, 3, 0)
