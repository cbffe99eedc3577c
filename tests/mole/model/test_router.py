"""Laws of the router."""

import pytest
import torch

from mole.model.router import Router

WIDTH, EXPERTS = 24, 5


def router(top_k: int) -> Router:
    """Make a router with drawn weights."""
    torch.manual_seed(0)
    made = Router(WIDTH, EXPERTS, top_k=top_k)
    with torch.no_grad():
        made.gate_ED.normal_()
    return made


@pytest.mark.parametrize("top_k", range(1, EXPERTS + 1))
def test_weights_are_the_softmax_of_the_chosen_experts_alone(top_k: int) -> None:
    made, token_BTD = router(top_k), torch.randn(2, 7, WIDTH)
    weight_BTE = made(token_BTD)
    logit_BTE = token_BTD @ made.gate_ED.T
    lowest_BT1 = logit_BTE.topk(top_k).values[..., -1:]
    wanted_BTE = logit_BTE.where(logit_BTE >= lowest_BT1, torch.tensor(-torch.inf)).softmax(dim=-1)
    torch.testing.assert_close(weight_BTE, wanted_BTE)


def test_a_new_router_weighs_all_experts_alike() -> None:
    weight_BTE = Router(WIDTH, EXPERTS, top_k=EXPERTS)(torch.randn(2, 7, WIDTH))
    assert torch.equal(weight_BTE, torch.full((2, 7, EXPERTS), 1 / EXPERTS))


def test_the_gate_learns_from_the_weights_of_the_chosen_experts() -> None:
    made = router(top_k=2)
    made(torch.randn(2, 7, WIDTH))[..., 0].sum().backward()
    assert made.gate_ED.grad is not None and made.gate_ED.grad[0].any()
