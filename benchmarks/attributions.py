"""Ways to say where in a view a logit comes from, compared by `benchmarks.heatmap`.

Each gives, for one normalised view, float32 (P,) of its patches: what each adds to the logit.

Shapes: B views, S side of a view, T tokens (the class token first), P patches, D width, H heads.
"""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mole.inference.heatmap import split_logits
from mole.model.block import AdaptedBlock
from mole.model.detector import MoLE
from mole.tower.vit import Block

Method = Callable[[MoLE, Tensor], Tensor]
CELL = 2
"""Patches along a side of what is occluded together."""
STEPS = 6
"""Points of an integrated gradient."""


def logit_from(model: MoLE, token_BTD: Tensor, depth: int) -> Tensor:
    """Run the blocks from a depth on; (B,)."""
    if depth < model.split:
        token_BTD, depth = model.run_blocks(token_BTD, depth, model.split), model.split
    return model.forward_tokens(token_BTD).logit_B


def _gradient_times_token(model: MoLE, view_13SS: Tensor, depth: int) -> Tensor:
    with torch.no_grad():
        token_1TD = model.trunk(view_13SS, depth)
    token_1TD.requires_grad_(True)
    with torch.enable_grad():
        (slope_1TD,) = torch.autograd.grad(logit_from(model, token_1TD, depth).sum(), token_1TD)
    return (slope_1TD * token_1TD.detach()).sum(-1)[0, 1:]


def gradient_at_input(model: MoLE, view_13SS: Tensor) -> Tensor:
    """Gradient times token, at the tokens that enter the first block."""
    return _gradient_times_token(model, view_13SS, 0)


def gradient_at_adapted(model: MoLE, view_13SS: Tensor) -> Tensor:
    """Gradient times token, at the tokens that enter the first adapted block."""
    return _gradient_times_token(model, view_13SS, model.split)


def integrated_gradients(model: MoLE, view_13SS: Tensor) -> Tensor:
    """Integrated gradients from a view of the mean colour, at the tokens that enter the first block.

    Source: Sundararajan et al. 2017, arXiv:1703.01365; the sum is the logit less that of the mean colour.
    """
    with torch.no_grad():
        token_1TD, blank_1TD = model.tower.embed(view_13SS), model.tower.embed(torch.zeros_like(view_13SS))
    total_1TD = torch.zeros_like(token_1TD)
    for step in range(STEPS):
        share = (step + 0.5) / STEPS
        between_1TD = (blank_1TD + share * (token_1TD - blank_1TD)).requires_grad_(True)
        with torch.enable_grad():
            (slope_1TD,) = torch.autograd.grad(logit_from(model, between_1TD, 0).sum(), between_1TD)
        total_1TD += slope_1TD / STEPS
    return (total_1TD * (token_1TD - blank_1TD)).sum(-1)[0, 1:]


@torch.no_grad()
def occlusion(model: MoLE, view_13SS: Tensor) -> Tensor:
    """The fall of the logit where a cell of patches is blurred away, one cell at a time.

    Source: Zeiler and Fergus 2014, arXiv:1311.2901.
    """
    patch = model.tower.conv1.kernel_size[0]
    side = view_13SS.shape[-1] // patch
    small = functional.interpolate(view_13SS, size=(4, 4), mode="area")
    blurred_13SS = functional.interpolate(small, size=view_13SS.shape[-2:], mode="bicubic")
    logit = model(view_13SS).logit_B
    corners = [(top, left) for top in range(0, side, CELL) for left in range(0, side, CELL)]
    views = view_13SS.repeat(len(corners), 1, 1, 1)
    for view_3SS, (top, left) in zip(views, corners, strict=True):
        rows, columns = (slice(begin * patch, (begin + CELL) * patch) for begin in (top, left))
        view_3SS[:, rows, columns] = blurred_13SS[0, :, rows, columns]
    fall = torch.cat([logit - model(part).logit_B for part in torch.split(views, 16)])
    map_PP = torch.zeros(side, side)
    for (top, left), value in zip(corners, fall.tolist(), strict=True):
        map_PP[top : top + CELL, left : left + CELL] = value / CELL**2
    return map_PP.flatten()


def _joint(attention: nn.MultiheadAttention, token_1TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, tokens, width = token_1TD.shape
    joint = functional.linear(token_1TD, attention.in_proj_weight, attention.in_proj_bias)
    heads = joint.view(batch, tokens, 3, attention.num_heads, width // attention.num_heads)
    query, key, value = heads.permute(2, 0, 3, 1, 4)
    return query, key, value


def direct_of_last(model: MoLE, view_13SS: Tensor) -> Tensor:
    """The class token's attention of the last block, straight into the head."""
    return split_logits(model, view_13SS, 1)[0][0]


def direct_of_adapted(model: MoLE, view_13SS: Tensor) -> Tensor:
    """The class token's attention of the adapted blocks, straight into the head."""
    return split_logits(model, view_13SS, len(model.tower.transformer.resblocks) - model.split)[0][0]


def direct_of_all(model: MoLE, view_13SS: Tensor) -> Tensor:
    """The class token's attention of every block, straight into the head: what `mole.inference.heatmap` gives."""
    return split_logits(model, view_13SS)[0][0]


def _norm(layer: nn.LayerNorm, token_BTD: Tensor) -> Tensor:
    centred = token_BTD - token_BTD.mean(-1, keepdim=True)
    deviation = (token_BTD.var(-1, unbiased=False, keepdim=True) + layer.eps).sqrt().detach()
    return centred / deviation * layer.weight + layer.bias


def _held(activation: nn.Module, wide: Tensor) -> Tensor:
    with torch.no_grad():
        gate = torch.where(wide == 0, torch.zeros_like(wide), activation(wide) / wide)
    return wide * gate


def _frozen_block(block: nn.Module, token_BTD: Tensor) -> Tensor:
    frozen = cast(Block, block.frozen if isinstance(block, AdaptedBlock) else block)
    query, key, value = _joint(frozen.attn, _norm(frozen.ln_1, token_BTD))
    weight = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1).detach()
    mixed = (weight @ value).transpose(1, 2).reshape(token_BTD.shape)
    token_BTD = token_BTD + frozen.attn.out_proj(mixed)
    normal_BTD = _norm(frozen.ln_2, token_BTD)
    wide, activation, narrow = frozen.mlp
    output_BTD: Tensor = token_BTD + narrow(_held(activation, wide(normal_BTD)))
    if isinstance(block, AdaptedBlock):
        experts = block.experts
        middle = normal_BTD @ experts.down_RD.T
        if experts.router is not None:
            weight_BTE = experts.router(normal_BTD).detach()
            gate = functional.pad(weight_BTE[..., experts.expert_of_R], (experts.shared_rank, 0), value=1.0)
            middle = middle * gate
        output_BTD = output_BTD + experts.scale * (middle @ experts.up_DR.T)
    return output_BTD


def _frozen(model: MoLE, view_13SS: Tensor, depth: int, *, patches: bool = False) -> Tensor:
    """Gradient times token of a network whose attention, deviations, activations and routing stay as they are."""
    tower = model.tower
    with torch.no_grad():
        patch_1PD = tower.conv1(view_13SS).flatten(2).transpose(1, 2)
        start_1TD = patch_1PD if patches else model.trunk(view_13SS, depth)
    start_1TD = start_1TD.detach().requires_grad_(True)
    with torch.enable_grad():
        token_1TD = start_1TD
        if patches:
            class_11D = tower.class_embedding.expand(1, 1, -1)
            token_1TD = _norm(tower.ln_pre, torch.cat([class_11D, token_1TD], 1) + tower.positional_embedding)
        reads = [model.read(token_1TD)] if depth in model.config.reads else []
        for number, block in enumerate(list(tower.transformer.resblocks)[depth:], depth + 1):
            token_1TD = _frozen_block(block, token_1TD)
            reads += [model.read(token_1TD)] if number in model.config.reads else []
        if reads:
            feature_1F = torch.cat(reads, dim=1)
        else:
            norm, proj_DF = cast(nn.LayerNorm, tower.ln_post), cast(Tensor, tower.proj)
            feature_1F = _norm(norm, token_1TD)[:, 0] @ proj_DF
        (slope,) = torch.autograd.grad(model.head(feature_1F).sum(), start_1TD)
    product: Tensor = (slope * start_1TD.detach()).sum(-1)[0]
    own: Tensor = product if patches else product[1:]
    return own


def frozen_at_patches(model: MoLE, view_13SS: Tensor) -> Tensor:
    """Gradient times patch embedding, positions left out, with attention, deviations and gates held.

    Source: Ali et al. 2022, arXiv:2202.07304; Achtibat et al. 2024, arXiv:2402.05602.
    """
    return _frozen(model, view_13SS, 0, patches=True)


def frozen_at_input(model: MoLE, view_13SS: Tensor) -> Tensor:
    """The same, at the tokens that enter the first block."""
    return _frozen(model, view_13SS, 0)


def frozen_at_adapted(model: MoLE, view_13SS: Tensor) -> Tensor:
    """The same, at the tokens that enter the first adapted block."""
    return _frozen(model, view_13SS, model.split)


METHODS: dict[str, Method] = {
    "gradient x token, input": gradient_at_input,
    "gradient x token, adapted": gradient_at_adapted,
    "held gradient x patch": frozen_at_patches,
    "held gradient x token, input": frozen_at_input,
    "held gradient x token, adapted": frozen_at_adapted,
    "integrated gradients": integrated_gradients,
    "attention of the last block": direct_of_last,
    "attention of the adapted blocks": direct_of_adapted,
    "attention of all blocks": direct_of_all,
    "occlusion": occlusion,
}
