"""Attention for training: the tower's attention with matrix products over contiguous tokens.

With gradients, torch's MultiheadAttention multiplies transposed tokens; in bfloat16 on a CPU a training step took 5 s
instead of about 1.5 (16 images, three blocks, one core). Without gradients torch's own path is faster and is kept.

Legend: B images, T tokens, D width, H heads.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from mole.tower.vit import Block


def attend(attention: nn.MultiheadAttention, token_BTD: Tensor) -> Tensor:
    """Compute self-attention over all tokens.

    Args:
        attention: with a joint input projection, batch first.
        token_BTD: any float dtype.

    Returns:
        token_BTD, equal to the module's own output up to rounding.
    """
    batch, tokens, width = token_BTD.shape
    joint = functional.linear(token_BTD, attention.in_proj_weight, attention.in_proj_bias)
    heads = joint.view(batch, tokens, 3, attention.num_heads, width // attention.num_heads)
    query_BHTD, key_BHTD, value_BHTD = heads.permute(2, 0, 3, 1, 4)
    mixed_BHTD = functional.scaled_dot_product_attention(query_BHTD, key_BHTD, value_BHTD)
    output_BTD: Tensor = attention.out_proj(mixed_BHTD.transpose(1, 2).reshape(token_BTD.shape))
    return output_BTD


def prepare_for_training(detector: nn.Module) -> None:
    """Use this attention in a detector's blocks when gradients are enabled, if theirs is torch's.

    Gradients also pass the plain blocks above an adapted one if the head reads after them.
    """
    for module in detector.modules():
        if isinstance(module, Block) and isinstance(getattr(module, "attn", None), nn.MultiheadAttention):
            module.attention = partial(_either, module.attn, module.attention)  # type: ignore[method-assign]


def _either(attention: nn.MultiheadAttention, own: Callable[[Tensor], Tensor], token_BTD: Tensor) -> Tensor:
    """Select the attention by whether gradients are enabled; token_BTD to token_BTD."""
    return attend(attention, token_BTD) if torch.is_grad_enabled() else own(token_BTD)
