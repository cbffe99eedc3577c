"""Laws of heads: what they compute is their formula, and what was fitted stays when weights are trained."""

import pytest
import torch
from torch import nn

from mole.config import DetectorConfig
from mole.model.head import Head, RBFKernel, Standardizer, rbf_kernel


def test_the_papers_head_is_one_layer_and_a_deeper_one_has_its_layers() -> None:
    assert [type(layer) for layer in Head(8, DetectorConfig(), standard=False)] == [nn.Linear]
    deep = Head(8, DetectorConfig(head_depth=2), standard=False)
    assert [type(layer) for layer in deep] == [nn.Linear, nn.ReLU, nn.Linear]
    narrow = Head(8, DetectorConfig(head_depth=3, head_width=5), standard=True)
    assert [(layer.in_features, layer.out_features) for layer in narrow.linear] == [(8, 5), (5, 5), (5, 1)]
    assert narrow.standard is narrow[0]


def test_a_kernel_head_is_linear_in_how_near_an_image_is_to_each_centre() -> None:
    torch.manual_seed(0)
    head = Head(6, DetectorConfig(head="kernel", components=3, centres=4), standard=True)
    assert [type(layer) for layer in head] == [Standardizer, RBFKernel, nn.Linear]
    with torch.no_grad():
        for buffer in head.buffers():
            buffer.copy_(torch.rand(buffer.shape) + 0.1)
        read_BF = torch.randn(5, 6)
        standard, kernel = head.standard, head.kernel
        assert standard is not None and kernel is not None
        z_BP = ((read_BF - standard.mean_F) / standard.scale_F) @ kernel.turn_PF.float().T
        square_BC = (z_BP[:, None] - kernel.centre_CP.float()[None]).square().sum(-1)
        [last] = head.linear
        expected = torch.exp(-kernel.gamma * square_BC) @ last.weight.T + last.bias
        torch.testing.assert_close(head(read_BF), expected)


def test_the_slope_at_a_centre_is_finite_and_zero() -> None:
    centre_CP = torch.randn(3, 4)
    leaf = centre_CP[:1].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(rbf_kernel(leaf, centre_CP[:1], torch.tensor(0.5)).sum(), leaf)
    torch.testing.assert_close(slope, torch.zeros(1, 4))


@pytest.mark.parametrize("kind", ["layers", "kernel"])
def test_what_was_fitted_is_a_buffer_and_only_the_weights_learn(kind: str) -> None:
    config = DetectorConfig.model_validate({"head": kind, "components": 3, "centres": 4})
    head = Head(6, config, standard=True)
    fitted = {"0.mean_F", "0.scale_F"} | ({"1.turn_PF", "1.centre_CP", "1.gamma"} if kind == "kernel" else set())
    assert {name for name, _ in head.named_buffers()} == fitted
    last = len(head) - 1
    assert {name for name, _ in head.named_parameters()} == {f"{last}.weight", f"{last}.bias"}
