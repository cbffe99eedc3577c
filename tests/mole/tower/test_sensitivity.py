"""Laws of what an embedding feels."""

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import Tensor
from torch.nn import functional

from mole.tower.quantization import MAX_CODE, inverse_factor
from mole.tower.sensitivity import MIN_IMPORTANCE, MatrixSensitivity, deviations, measure_sensitivity, steps

MATRICES = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


@pytest.fixture
def tower() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(64, 16, 128, 2, 2, 4.0, output_dim=32, act_layer=QuickGELU).eval().requires_grad_(False)


def pixels() -> Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_every_matrix_of_the_blocks_is_felt(tower: VisionTransformer) -> None:
    found = measure_sensitivity(tower.state_dict(), [pixels()], seed=0).matrices
    assert found.keys() == {f"transformer.resblocks.{block}.{name}" for block in range(2) for name in MATRICES}
    for name, matrix in found.items():
        rows, columns = tower.state_dict()[name].shape
        assert matrix.hessian_II.shape == (columns, columns)
        assert matrix.squared_gradient_O.shape == (rows,)
        assert matrix.weight > 0


def test_what_is_felt_is_the_gradient_of_the_towers_own_embedding(tower: VisionTransformer) -> None:
    name, image = "transformer.resblocks.1.mlp.c_proj.weight", pixels()[:1]
    matrix = measure_sensitivity(tower.state_dict(), [image], seed=3).matrices[name]
    last = tower.transformer.resblocks[1].mlp.c_proj
    last.bias.requires_grad_()
    direction = torch.randn(1, 32, generator=torch.Generator().manual_seed(3))
    (functional.normalize(tower(image), dim=-1) * direction).sum().backward()  # type: ignore[no-untyped-call]
    # the class token alone reaches the embedding, so the bias's gradient is that token's
    assert last.bias.grad is not None
    assert torch.allclose(matrix.squared_gradient_O, last.bias.grad.square(), rtol=1e-3, atol=1e-9)


def test_with_reads_the_matrices_above_the_last_one_are_not_felt(tower: VisionTransformer) -> None:
    state = {name: tensor for name, tensor in tower.state_dict().items() if "resblocks.1." not in name}
    found = measure_sensitivity(state, [pixels()], seed=0, reads=(1,)).matrices
    assert found.keys() == {f"transformer.resblocks.0.{name}" for name in MATRICES}


def class_tokens(tower: VisionTransformer, image: Tensor) -> list[Tensor]:
    """Run open_clip's own tower; the class token (B, D) after each block."""
    after: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _block, _input, output: after.append(output[:, 0]))
        for block in tower.transformer.resblocks
    ]
    tower(image)
    for hook in hooks:
        hook.remove()
    return after


def test_deviations_are_those_of_the_towers_own_class_tokens(tower: VisionTransformer) -> None:
    found_RD = deviations(tower.state_dict(), [pixels()[:2], pixels()[2:]], (1, 2))
    wanted_RD = torch.stack(class_tokens(tower, pixels())).std(dim=1, correction=0)
    assert torch.allclose(
        found_RD, wanted_RD.clamp_min(MIN_IMPORTANCE * wanted_RD.mean(dim=1, keepdim=True)), rtol=1e-3
    )


def test_with_reads_what_is_felt_is_the_gradient_of_standardised_class_tokens(tower: VisionTransformer) -> None:
    name, image = "transformer.resblocks.1.mlp.c_proj.weight", pixels()
    matrix = measure_sensitivity(tower.state_dict(), [image], seed=3, reads=(1, 2)).matrices[name]
    direction_BF = torch.randn(3, 2 * 128, generator=torch.Generator().manual_seed(3))
    deviation_D = deviations(tower.state_dict(), [image], (1, 2))[1]
    # the last block's MLP is added to the token that is read, so its gradient is the direction over the deviation
    wanted_O = (direction_BF[:, 128:] / deviation_D).square().sum(dim=0)
    assert torch.allclose(matrix.squared_gradient_O, wanted_O, rtol=1e-3)


def test_the_same_seed_feels_the_same(tower: VisionTransformer) -> None:
    first, again, other = (measure_sensitivity(tower.state_dict(), [pixels()], seed).matrices for seed in (0, 0, 1))
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    assert torch.equal(first[name].squared_gradient_O, again[name].squared_gradient_O)
    assert not torch.equal(first[name].squared_gradient_O, other[name].squared_gradient_O)


def feeling(squared_gradient_O: Tensor) -> MatrixSensitivity:
    return MatrixSensitivity(torch.eye(4), squared_gradient_O, 1.0)


def test_a_row_that_is_felt_four_times_as_much_gets_half_the_step() -> None:
    step_O = steps(torch.zeros(2, 4), feeling(torch.tensor([1.0, 4.0])), inverse_factor(torch.eye(4)), 0.1)
    assert float(step_O[0] / step_O[1]) == pytest.approx(2.0)


def test_a_row_that_was_never_felt_is_not_thrown_away() -> None:
    step_O = steps(torch.zeros(2, 4), feeling(torch.tensor([0.0, 2.0])), inverse_factor(torch.eye(4)), 0.1)
    assert float(step_O[0] / step_O[1]) == pytest.approx((2 / MIN_IMPORTANCE) ** 0.5)


def test_no_weight_leaves_the_range_of_the_codes() -> None:
    weight_OI = torch.tensor([[1.0, -5.0, 0.0, 2.0]])
    step_O = steps(weight_OI, feeling(torch.ones(1)), inverse_factor(torch.eye(4)), 1e-6)
    assert float((weight_OI / step_O[:, None]).abs().max()) == pytest.approx(MAX_CODE)
