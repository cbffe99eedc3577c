"""The tower: the plain ViT of CLIP, its parts under open_clip's names, as the detector runs through them.

Legend: B images, S side of a view, T tokens, D width, F features.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from mole.config import Architecture
from mole.errors import ModelError
from mole.views.preprocess import Preprocess


def normalise(pixels_B3SS: Tensor, spec: Preprocess) -> Tensor:
    """Bring views to the numbers that the tower was trained on, on whatever device they lie.

    Args:
        pixels_B3SS: uint8.
        spec: mean and std.

    Returns:
        float32 (B, 3, S, S).
    """
    mean = torch.tensor(spec.mean, device=pixels_B3SS.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=pixels_B3SS.device).view(3, 1, 1)
    return pixels_B3SS.float().div_(255).sub_(mean).div_(std)


class QuickGELU(nn.Module):
    """The activation that OpenAI trained CLIP with: x · sigmoid(SLOPE · x)."""

    SLOPE = 1.702

    def forward(self, wide: Tensor) -> Tensor:
        """Activate, element by element; without gradients in one buffer, to the bit the same."""
        if torch.is_grad_enabled():
            return wide * torch.sigmoid(self.SLOPE * wide)
        return (self.SLOPE * wide).sigmoid_().mul_(wide)


class Block(nn.Module):
    """x = x + attention(LN1(x)); y = x + MLP(LN2(x)).

    Attributes:
        kept: tokens, from the first, that leave the block; None for all.
    """

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        width, wide = shape.width, int(shape.width * shape.mlp_ratio)
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, shape.heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        activation = QuickGELU() if shape.quick_gelu else nn.GELU()
        layers = [("c_fc", nn.Linear(width, wide)), ("gelu", activation), ("c_proj", nn.Linear(wide, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.kept: int | None = None

    def attention(self, token_BTD: Tensor) -> Tensor:
        """Attend from every token to every token."""
        output_BTD: Tensor = self.attn(token_BTD, token_BTD, token_BTD, need_weights=False)[0]
        return output_BTD

    def forward(self, token_BTD: Tensor) -> Tensor:
        """Run the block; the dtype stays."""
        token_BTD = (token_BTD + self.attention(self.ln_1(token_BTD)))[:, : self.kept]
        output_BTD: Tensor = token_BTD + self.mlp(self.ln_2(token_BTD))
        return output_BTD


class Transformer(nn.Module):
    """The blocks in their order."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))


class Tower(nn.Module):
    """An image tower, whose parts `mole.model.detector` runs through; weights are drawn until they are loaded.

    This one is CLIP's plain ViT; `mole.tower.timm_vit` has the one whose parts are timm's.

    Args:
        shape: of its parts.
        projects: it ends in a feature; without, it has blocks alone, whose tokens are read.

    Attributes:
        plain: whether it is CLIP's, with a class token first and attention of torch.
        prefix: tokens before the patches, the class token first.
        classed: whether there is a class token.
        kept: tokens, from the first, that `read` looks at; None for all.
        turns: whether attention turns queries and keys by where their patches lie, so that every patch must be there.

    Source: Radford et al. 2021, arXiv:2103.00020; names as in open_clip, whose own tower gives the same to the bit.
    """

    plain = True
    prefix = 1
    classed = True
    kept: int | None = 1
    turns = False

    def __init__(self, shape: Architecture, *, projects: bool = True) -> None:
        super().__init__()
        scale, patches = shape.width**-0.5, (shape.image_size // shape.patch_size) ** 2
        self.conv1 = nn.Conv2d(3, shape.width, shape.patch_size, stride=shape.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(shape.width))
        self.positional_embedding = nn.Parameter(torch.empty(patches + 1, shape.width))
        self.ln_pre = nn.LayerNorm(shape.width)
        self.transformer = Transformer(shape)
        self.ln_post = nn.LayerNorm(shape.width) if projects else None
        self.proj = nn.Parameter(torch.empty(shape.width, shape.embed_dim)) if projects else None
        for drawn in (self.class_embedding, self.positional_embedding, self.proj):
            if drawn is not None:
                nn.init.uniform_(drawn, -scale, scale)  # a normal draw on the meta device imports torch's compiler, 3 s

    @property
    def tokens(self) -> int:
        """T, those of a view."""
        return len(self.positional_embedding)

    @property
    def features(self) -> int | None:
        """F, the width of what `read` gives; None where the tower ends at a block."""
        return None if self.proj is None else self.proj.shape[1]

    def embed(self, view_B3SS: Tensor) -> Tensor:
        """Cut views into patches, put the class token before them, and say where each lies.

        Args:
            view_B3SS: normalised views, in the dtype of the tower.

        Returns:
            token_BTD, in the same dtype, as the first block takes it.
        """
        patch_BTD = self.conv1(view_B3SS).flatten(2).transpose(1, 2)
        class_B1D = self.class_embedding.to(patch_BTD.dtype).expand(len(patch_BTD), 1, -1)
        token_BTD = torch.cat([class_B1D, patch_BTD], dim=1) + self.positional_embedding.to(patch_BTD.dtype)
        normal_BTD: Tensor = self.ln_pre(token_BTD)
        return normal_BTD

    def read(self, token_BTD: Tensor) -> Tensor:
        """Turn the last block's class token into feature_BF, not normalised.

        Raises:
            ModelError: the tower ends at a block.
        """
        if self.ln_post is None or self.proj is None:
            blocks = len(self.transformer.resblocks)
            raise ModelError(f"a tower cut after block {blocks} has no feature; read its tokens, or load it whole")
        feature_BF: Tensor = self.ln_post(token_BTD)[:, 0] @ self.proj
        return feature_BF

    def forward(self, view_B3SS: Tensor) -> Tensor:
        """Turn normalised views into feature_BF, without experts."""
        token_BTD = self.embed(view_B3SS)
        for block in self.transformer.resblocks:
            token_BTD = block(token_BTD)
        return self.read(token_BTD)
