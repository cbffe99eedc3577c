"""timm tower: a pre-norm ViT of timm, split into the parts that a detector runs.

timm's modules are unchanged; only the loop over the blocks is ours, so that experts can run in parallel to an MLP and
tokens can be read after any block. `mole.tower.hub` decides which timm ViTs are supported, and builds them.

Legend: B images, S side of a view, T tokens, D width, F features.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mole.tower.vit import Block, Tower, Transformer


class Rotation(nn.Module):
    """Rotary position embedding: the sines and cosines that attention rotates queries and keys by.

    It is the same for all views of one size, so it is computed once and shared by blocks with equal embeddings. It
    stays float32 in any precision: the rotated queries and keys are rounded, not the angles.
    """

    rope: Tensor

    def __init__(self, rope: Tensor) -> None:
        super().__init__()
        self.register_buffer("rope", rope.float(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Rotation":
        """Move the embedding to the device of a module's parameters; its shape and float32 stay."""
        self.rope = self.rope.to(fn(self.rope).device)
        return self


class Scale(nn.Module):
    """Layer scale, which timm's EVA keeps as a bare parameter: an elementwise factor."""

    def __init__(self, factor_D: nn.Parameter) -> None:
        super().__init__()
        self.factor_D = factor_D

    def forward(self, token_BTD: Tensor) -> Tensor:
        """Multiply elementwise; token_BTD, same dtype."""
        return self.factor_D * token_BTD


class TimmBlock(Block):
    """x = x + scale(attention(LN1(x))); y = x + scale(MLP(LN2(x))), with timm's modules.

    Experts run in parallel to the scaled MLP and are not scaled: DINOv3's layer scales start at 0.00001, which would
    suppress the gradients of the experts.

    Args:
        block: a `Block` of timm's `vision_transformer`, or an `EvaBlock`.
        rotation: its rotary position embedding, None if positions are added to the tokens.
    """

    def __init__(self, block: Any, rotation: Rotation | None) -> None:
        nn.Module.__init__(self)
        self.ln_1, self.ln_2 = block.norm1, block.norm2
        self.attending, self.rotation = block.attn, rotation
        first, second = (block.ls1, block.ls2) if hasattr(block, "ls1") else (block.gamma_1, block.gamma_2)
        self.scale, self.mlp = _scale(first), nn.Sequential(block.mlp, _scale(second))
        self.kept = None

    def attention(self, token_BTD: Tensor) -> Tensor:
        """Compute scaled self-attention over all tokens; token_BTD, same dtype."""
        turned = {} if self.rotation is None else {"rope": self.rotation.rope}
        output_BTD: Tensor = self.scale(self.attending(token_BTD, **turned))
        return output_BTD


def _scale(scale: nn.Module | nn.Parameter | None) -> nn.Module:
    """Wrap a layer scale as a module."""
    if isinstance(scale, nn.Module):
        return scale
    return nn.Identity() if scale is None else Scale(scale)


class TimmBlocks(Transformer):
    """The blocks in order."""

    def __init__(self, blocks: Sequence[TimmBlock]) -> None:
        nn.Module.__init__(self)
        self.resblocks = nn.ModuleList(blocks)


class TimmTower(Tower):
    """A tower made of timm's modules, with the interface of CLIP's.

    Args:
        trunk: the model from `mole.tower.hub.build`, with weights loaded; it is modified.

    Source: SigLIP 2, arXiv:2502.14786; Perception Encoder, arXiv:2504.13181; DINOv3, arXiv:2508.10104.
    """

    plain = False

    def __init__(self, trunk: Any) -> None:
        nn.Module.__init__(self)
        blocks = list(trunk.blocks)
        rotations = _rotations(trunk, len(blocks))
        self.norm, trunk.norm, trunk.blocks = trunk.norm, nn.Identity(), nn.Sequential()
        self.trunk = trunk
        self.transformer = TimmBlocks(list(map(TimmBlock, blocks, rotations)))
        self.prefix, self.classed = trunk.num_prefix_tokens, trunk.cls_token is not None
        self.kept = 1 if trunk.global_pool == "token" else None
        self.turns = any(rotation is not None for rotation in rotations)

    @property
    def tokens(self) -> int:
        """T, tokens of a view."""
        return int(self.prefix + self.trunk.patch_embed.num_patches)

    @property
    def features(self) -> int:
        """F, dimension of the feature."""
        return int(self.trunk.num_classes or self.trunk.num_features)

    def embed(self, view_B3SS: Tensor) -> Tensor:
        """Embed views: class, register and patch tokens, with additive position embeddings if there are any.

        Args:
            view_B3SS: normalized views, in the tower's dtype.

        Returns:
            token_BTD, same dtype, the first block's input.
        """
        token_BTD: Tensor = self.trunk.forward_features(view_B3SS)  # without blocks and norm
        return token_BTD

    def read(self, token_BTD: Tensor) -> Tensor:
        """Pool and project the last block's output as timm does; feature_BF, not normalized."""
        feature_BF: Tensor = self.trunk.forward_head(self.norm(token_BTD))
        return feature_BF


class _RopeRecorder(nn.Module):
    """Replaces a block to record the rotary embedding that it is passed."""

    def forward(self, token_BTD: Tensor, rope: Tensor | None = None, **_: object) -> Tensor:
        """Return the tokens unchanged."""
        self.rope = rope
        return token_BTD


def _rotations(trunk: Any, layers: int) -> list[Rotation | None]:
    """Record the rotary embedding that a trunk passes to each block; blocks with the same one share it."""
    recorders = [_RopeRecorder() for _ in range(layers)]
    trunk.blocks = nn.Sequential(*recorders)
    with torch.no_grad():
        trunk.forward_features(torch.zeros(1, 3, *trunk.patch_embed.img_size))
    known: dict[int, Rotation] = {}
    ropes = [block.rope for block in recorders]
    return [None if rope is None else known.setdefault(id(rope), Rotation(rope)) for rope in ropes]
