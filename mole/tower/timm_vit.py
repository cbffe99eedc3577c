"""The tower of another make: a pre-norm ViT that timm builds, taken apart into the parts that a detector runs through.

What timm built computes as it did; only the walk over the blocks is ours, so that experts can stand beside an MLP and
tokens can be read behind any block. `mole.tower.hub` decides which of timm's ViTs can be taken apart, and builds them.

Legend: B images, S side of a view, T tokens, D width, F features.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mole.tower.vit import Block, Tower, Transformer


class Rotation(nn.Module):
    """Where the patches of a view lie, as the sines and cosines that attention turns its queries and keys by.

    All patches of all views of one size lie alike, so this is computed once; blocks that turn alike hold the same one.
    It stays float32 whatever the tower becomes: the turned queries and keys are rounded, not the angles.
    """

    rope: Tensor

    def __init__(self, rope: Tensor) -> None:
        super().__init__()
        self.register_buffer("rope", rope.float(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Rotation":
        self.rope = self.rope.to(fn(self.rope).device)
        return self


class Scale(nn.Module):
    """The layer scale that timm's EVA keeps as a bare parameter: each number of a token times its own factor."""

    def __init__(self, factor_D: nn.Parameter) -> None:
        super().__init__()
        self.factor_D = factor_D

    def forward(self, token_BTD: Tensor) -> Tensor:
        """Multiply; the dtype stays."""
        return self.factor_D * token_BTD


class TimmBlock(Block):
    """x = x + scale(attention(LN1(x))); y = x + scale(MLP(LN2(x))), of timm's own parts.

    Experts stand beside the MLP with its scale and have none of it: DINOv3's begin at 0.00001, and such a factor would
    hold back whatever experts learn.

    Args:
        block: a `Block` of timm's vision_transformer, or an `EvaBlock`.
        rotation: what its attention turns by, None where positions are added to the tokens.
    """

    def __init__(self, block: Any, rotation: Rotation | None) -> None:
        nn.Module.__init__(self)
        self.ln_1, self.ln_2 = block.norm1, block.norm2
        self.attending, self.rotation = block.attn, rotation
        first, second = (block.ls1, block.ls2) if hasattr(block, "ls1") else (block.gamma_1, block.gamma_2)
        self.scale, self.mlp = _scale(first), nn.Sequential(block.mlp, _scale(second))
        self.kept = None

    def attention(self, token_BTD: Tensor) -> Tensor:
        """Attend from every token to every token."""
        turned = {} if self.rotation is None else {"rope": self.rotation.rope}
        output_BTD: Tensor = self.scale(self.attending(token_BTD, **turned))
        return output_BTD


def _scale(scale: nn.Module | nn.Parameter | None) -> nn.Module:
    """Make a module of a layer scale, whichever way timm keeps it."""
    if isinstance(scale, nn.Module):
        return scale
    return nn.Identity() if scale is None else Scale(scale)


class TimmBlocks(Transformer):
    """The blocks in their order."""

    def __init__(self, blocks: Sequence[TimmBlock]) -> None:
        nn.Module.__init__(self)
        self.resblocks = nn.ModuleList(blocks)


class TimmTower(Tower):
    """A tower of timm's parts, with the interface of CLIP's.

    Args:
        trunk: what `mole.tower.hub.build` gave, its weights loaded; it is taken apart.

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
        """T, those of a view."""
        return int(self.prefix + self.trunk.patch_embed.num_patches)

    @property
    def features(self) -> int:
        """F, the width of what `read` gives."""
        return int(self.trunk.num_classes or self.trunk.num_features)

    def embed(self, view_B3SS: Tensor) -> Tensor:
        """Cut views into patches, put class and register tokens before them, and add where each lies if that is added.

        Args:
            view_B3SS: normalised views, in the dtype of the tower.

        Returns:
            token_BTD, in the same dtype, as the first block takes it.
        """
        token_BTD: Tensor = self.trunk.forward_features(view_B3SS)  # of which blocks and norm were taken out
        return token_BTD

    def read(self, token_BTD: Tensor) -> Tensor:
        """Turn what leaves the last block into feature_BF, not normalised, as the library pools and projects it."""
        feature_BF: Tensor = self.trunk.forward_head(self.norm(token_BTD))
        return feature_BF


class _RopeRecorder(nn.Module):
    """Stands in for a block and keeps what it is told beside the tokens."""

    def forward(self, token_BTD: Tensor, rope: Tensor | None = None, **_: object) -> Tensor:
        """Hand the tokens on."""
        self.rope = rope
        return token_BTD


def _rotations(trunk: Any, layers: int) -> list[Rotation | None]:
    """Let a trunk tell each of its blocks where the patches lie, and keep that; blocks that hear the same share it."""
    recorders = [_RopeRecorder() for _ in range(layers)]
    trunk.blocks = nn.Sequential(*recorders)
    with torch.no_grad():
        trunk.forward_features(torch.zeros(1, 3, *trunk.patch_embed.img_size))
    known: dict[int, Rotation] = {}
    ropes = [block.rope for block in recorders]
    return [None if rope is None else known.setdefault(id(rope), Rotation(rope)) for rope in ropes]
