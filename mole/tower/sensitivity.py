"""Sensitivity: input Hessians and output gradients of each matrix of a tower, for quantization.

A functional forward pass with a gradient hook at every matrix, and one random direction of the output per image, so
that the squared gradients estimate a Gauss-Newton form: of the cosine of embeddings, or of the squared error of the
class tokens after some blocks, each component standardized, so that all reads have the same weight.

Legend: B batch, T tokens, D width, F output features of an image, R reads, O outputs, I inputs of a matrix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from mole.tower.quantization import MAX_CODE

HEAD_WIDTH = 64  # of all OpenAI image towers
MIN_IMPORTANCE = 0.02  # lower bound of a row's importance as a share of the mean: the sample of images is small


@dataclass
class MatrixSensitivity:
    """Sums over tokens for one matrix."""

    hessian_II: Tensor  # of the inputs, each token weighted by its squared output gradient
    squared_gradient_O: Tensor  # squared gradient of each output
    weight: float = 0.0  # sum of the token weights


@dataclass
class TowerSensitivity:
    """What was measured, matrix by matrix."""

    matrices: dict[str, MatrixSensitivity] = field(default_factory=dict)

    def record(self, name: str, input_TI: Tensor, gradient_TO: Tensor) -> None:
        """Add the tokens of one batch; float32 (T, I) and (T, O), detached."""
        weight_T = gradient_TO.square().sum(dim=1)
        weight_T = (
            weight_T + weight_T.mean()
        )  # in the last block only the class token has a gradient: too few for a Hessian
        weighted_TI = input_TI * weight_T[:, None]
        matrix = self.matrices.setdefault(
            name,
            MatrixSensitivity(torch.zeros(input_TI.shape[1], input_TI.shape[1]), torch.zeros(gradient_TO.shape[1])),
        )
        matrix.hessian_II.addmm_(weighted_TI.T, input_TI)
        matrix.squared_gradient_O += gradient_TO.square().sum(dim=0)
        matrix.weight += float(weight_T.sum())


def measure_sensitivity(
    tower: Mapping[str, Tensor], batches: Sequence[Tensor], seed: int, *, reads: Sequence[int] = ()
) -> TowerSensitivity:
    """Run calibration images through a tower and collect the statistics.

    Args:
        tower: float32 state dict of an open_clip image tower with QuickGELU, up to the last read at least.
        batches: normalized pixels (B, 3, S, S), float32.
        seed: of the random directions.
        reads: depths at which the class token is read; empty for the embedding.

    Returns:
        The statistics of each matrix of the blocks up to the deepest read.
    """
    random = torch.Generator().manual_seed(seed)
    stats = TowerSensitivity()
    deviation_RD = deviations(tower, batches, reads) if reads else torch.empty(0)
    for pixels_B3SS in batches:
        token_RBD = _class_tokens(tower, pixels_B3SS, stats)
        if reads:
            read_BRD = torch.stack([token_RBD[read - 1] for read in reads], dim=1)
            felt_BF = (read_BRD / deviation_RD).flatten(1)
        else:
            felt_BF = functional.normalize(_norm(tower, "ln_post", token_RBD[-1]) @ tower["proj"], dim=-1)
        direction_BF = torch.randn(felt_BF.shape, generator=random)
        (felt_BF * direction_BF).sum().backward()  # type: ignore[no-untyped-call]
    return stats


@torch.no_grad()
def deviations(tower: Mapping[str, Tensor], batches: Sequence[Tensor], reads: Sequence[int]) -> Tensor:
    """Compute the standard deviation of class tokens over images, per component.

    Args:
        tower: float32 state dict, as of `measure_sensitivity`.
        batches: normalized pixels (B, 3, S, S), float32.
        reads: depths at which the class token is read.

    Returns:
        deviation_RD, float32, at least `MIN_IMPORTANCE` of its read's mean.
    """
    walked = [_class_tokens(tower, pixels_B3SS) for pixels_B3SS in batches]
    token_RND = torch.stack([torch.cat([token_RBD[read - 1] for token_RBD in walked]) for read in reads])
    deviation_RD = token_RND.std(dim=1, correction=0)
    return deviation_RD.clamp_min(MIN_IMPORTANCE * deviation_RD.mean(dim=1, keepdim=True))


def steps(weight_OI: Tensor, matrix: MatrixSensitivity, upper_II: Tensor, scale: float) -> Tensor:
    """Choose the step of each row so that the marginal benefit of a bit is equal everywhere.

    Args:
        weight_OI: float32, the matrix; steps are large enough to keep all codes in range.
        matrix: the statistics of the matrix.
        upper_II: `inverse_factor` of its Hessian divided by its weight.
        scale: common factor of all steps; larger means a smaller file and a larger error.

    Returns:
        step_O: float32, `scale` times the row's grain, or more if the code range needs it.
    """
    return torch.maximum(scale * relative_steps(matrix, upper_II), weight_OI.abs().amax(dim=1) / MAX_CODE)


def relative_steps(matrix: MatrixSensitivity, upper_II: Tensor) -> Tensor:
    """Compute the relative step of each row.

    Args:
        matrix: the statistics of the matrix.
        upper_II: `inverse_factor` of its Hessian divided by its weight.

    Returns:
        grain_O, float32: 1 / sqrt(importance of the row x mean cost of a rounded column).
    """
    squared_gradient_O = matrix.squared_gradient_O.clamp_min(MIN_IMPORTANCE * float(matrix.squared_gradient_O.mean()))
    cost = float(upper_II.diagonal().square().reciprocal().mean())
    return (squared_gradient_O * cost).rsqrt()


def _class_tokens(
    tower: Mapping[str, Tensor], pixels_B3SS: Tensor, stats: TowerSensitivity | None = None
) -> list[Tensor]:
    """Run all blocks, with a hook at every matrix if `stats` is given; the class token (B, D) after each block."""
    patch_BTD = functional.conv2d(pixels_B3SS, tower["conv1.weight"], stride=tower["conv1.weight"].shape[-1])
    patch_BTD = patch_BTD.flatten(2).transpose(1, 2)
    first_B1D = tower["class_embedding"].expand(len(patch_BTD), 1, -1)
    token_BTD = torch.cat([first_B1D, patch_BTD], dim=1) + tower["positional_embedding"]
    token_BTD = _norm(tower, "ln_pre", token_BTD).requires_grad_(stats is not None)
    after = []
    blocks = 1 + max(int(name.split(".")[2]) for name in tower if name.startswith("transformer.resblocks."))
    for block in range(blocks):
        token_BTD = _block(tower, f"transformer.resblocks.{block}", token_BTD, stats)
        after.append(token_BTD[:, 0])
    return after


def _block(tower: Mapping[str, Tensor], name: str, token_BTD: Tensor, stats: TowerSensitivity | None) -> Tensor:
    """Run one transformer block; token_BTD to token_BTD, float32."""
    batch, tokens, width = token_BTD.shape
    state_BTD = _norm(tower, f"{name}.ln_1", token_BTD)
    bias_O = tower[f"{name}.attn.in_proj_bias"]
    joint = _linear(state_BTD, f"{name}.attn.in_proj_weight", tower, bias_O, stats)
    query, key, value = joint.view(batch, tokens, 3, width // HEAD_WIDTH, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
    mixed_BTD = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(token_BTD.shape)
    bias_O = tower[f"{name}.attn.out_proj.bias"]
    token_BTD = token_BTD + _linear(mixed_BTD, f"{name}.attn.out_proj.weight", tower, bias_O, stats)
    state_BTD = _norm(tower, f"{name}.ln_2", token_BTD)
    wide = _linear(state_BTD, f"{name}.mlp.c_fc.weight", tower, tower[f"{name}.mlp.c_fc.bias"], stats)
    wide = wide * torch.sigmoid(1.702 * wide)  # QuickGELU, which OpenAI's weights were trained with
    return token_BTD + _linear(wide, f"{name}.mlp.c_proj.weight", tower, tower[f"{name}.mlp.c_proj.bias"], stats)


def _linear(
    input_BTI: Tensor, name: str, tower: Mapping[str, Tensor], bias_O: Tensor, stats: TowerSensitivity | None
) -> Tensor:
    """Apply a linear layer with a hook that records input and gradient; output (B, T, O) float32."""
    output_BTO = functional.linear(input_BTI, tower[name], bias_O)
    if stats is None:
        return output_BTO
    seen_TI = input_BTI.detach().flatten(0, 1)
    output_BTO.register_hook(  # type: ignore[no-untyped-call]
        lambda gradient_BTO: stats.record(name, seen_TI, gradient_BTO.flatten(0, 1))
    )
    return output_BTO


def _norm(tower: Mapping[str, Tensor], name: str, token_BTD: Tensor) -> Tensor:
    """Apply LayerNorm over the width; same shape and dtype."""
    return functional.layer_norm(token_BTD, token_BTD.shape[-1:], tower[f"{name}.weight"], tower[f"{name}.bias"])
