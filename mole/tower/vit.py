"""CLIP tower: the plain ViT of CLIP, with open_clip's parameter names.

Legend: B images, S side of a view, T tokens, D width, F features.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from mole.architecture import Architecture
from mole.errors import ModelError
from mole.views.preprocess import Preprocess


def normalise(pixels_B3SS: Tensor, spec: Preprocess) -> Tensor:
    """Normalize views with the tower's mean and std, on their device.

    Args:
        pixels_B3SS: uint8.
        spec: gives mean and std.

    Returns:
        float32 (B, 3, S, S).
    """
    mean = torch.tensor(spec.mean, device=pixels_B3SS.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=pixels_B3SS.device).view(3, 1, 1)
    return pixels_B3SS.float().div_(255).sub_(mean).div_(std)


class QuickGELU(nn.Module):
    """The activation of OpenAI's CLIP: x · sigmoid(SLOPE · x)."""

    SLOPE = 1.702

    def forward(self, wide: Tensor) -> Tensor:
        """Apply the activation elementwise; without gradients in one buffer, bit-identical."""
        if torch.is_grad_enabled():
            return wide * torch.sigmoid(self.SLOPE * wide)
        return (self.SLOPE * wide).sigmoid_().mul_(wide)


class Block(nn.Module):
    """x = x + attention(LN1(x)); y = x + MLP(LN2(x)).

    Attributes:
        kept: number of leading tokens that the block outputs; None for all.
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
        """Compute self-attention over all tokens; token_BTD, same dtype."""
        output_BTD: Tensor = self.attn(token_BTD, token_BTD, token_BTD, need_weights=False)[0]
        return output_BTD

    def forward(self, token_BTD: Tensor) -> Tensor:
        """Run the block; token_BTD, same dtype, the `kept` tokens of it."""
        token_BTD = (token_BTD + self.attention(self.ln_1(token_BTD)))[:, : self.kept]
        output_BTD: Tensor = token_BTD + self.mlp(self.ln_2(token_BTD))
        return output_BTD


class Transformer(nn.Module):
    """The blocks in order."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))


class Tower(nn.Module):
    """An image tower, whose parts `mole.model.detector` runs; weights are random until they are loaded.

    This one is CLIP's plain ViT; `mole.tower.timm_vit` has the one made of timm's modules.

    Args:
        shape: the tower's shape.
        projects: whether it has the final norm and projection; without, only the tokens of its blocks can be read.

    Attributes:
        plain: whether it is CLIP's ViT, with a class token first and torch's attention.
        prefix: tokens before the patches, the class token first.
        classed: whether there is a class token.
        kept: number of leading tokens that `read` uses; None for all.
        turns: whether attention has rotary position embeddings, so that no patch may be dropped.

    Source: Radford et al. 2021, arXiv:2103.00020; names as in open_clip, whose tower gives bit-identical results.
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
        """T, tokens of a view."""
        return len(self.positional_embedding)

    @property
    def features(self) -> int | None:
        """F, dimension of the feature; None if the tower ends at a block."""
        return None if self.proj is None else self.proj.shape[1]

    def embed(self, view_B3SS: Tensor) -> Tensor:
        """Embed views: class token and patch tokens with position embeddings.

        Args:
            view_B3SS: normalized views, in the tower's dtype.

        Returns:
            token_BTD, same dtype, the first block's input.
        """
        patch_BTD = self.conv1(view_B3SS).flatten(2).transpose(1, 2)
        class_B1D = self.class_embedding.to(patch_BTD.dtype).expand(len(patch_BTD), 1, -1)
        token_BTD = torch.cat([class_B1D, patch_BTD], dim=1) + self.positional_embedding.to(patch_BTD.dtype)
        normal_BTD: Tensor = self.ln_pre(token_BTD)
        return normal_BTD

    def read(self, token_BTD: Tensor) -> Tensor:
        """Project the last block's class token; feature_BF, not normalized.

        Raises:
            ModelError: the tower ends at a block.
        """
        if self.ln_post is None or self.proj is None:
            blocks = len(self.transformer.resblocks)
            raise ModelError(f"a tower that ends at block {blocks} has no feature; read its tokens, or load it whole")
        feature_BF: Tensor = self.ln_post(token_BTD)[:, 0] @ self.proj
        return feature_BF

    def forward(self, view_B3SS: Tensor) -> Tensor:
        """Compute feature_BF of normalized views, without experts."""
        token_BTD = self.embed(view_B3SS)
        for block in self.transformer.resblocks:
            token_BTD = block(token_BTD)
        return self.read(token_BTD)
