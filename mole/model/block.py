"""Adapted block: a frozen transformer block with experts in parallel to its MLP.

Shapes: B images, T tokens, K of them that the block outputs, D width, E separate experts.
"""

from torch import Tensor, nn

from mole.model.experts import Experts
from mole.tower.vit import Block


class AdaptedBlock(nn.Module):
    """h = LN2(x); y = x + MLP(h) + experts(h).

    Args:
        frozen: the tower's block.
        experts: the trainable experts.

    Source: Liu et al. 2024, arXiv:2404.04883, figure 2.
    """

    def __init__(self, frozen: Block, experts: Experts) -> None:
        super().__init__()
        self.frozen = frozen
        self.experts = experts

    def forward(self, token_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Run the block.

        Args:
            token_BTD: the residual stream, any float dtype.

        Returns:
            token_BKD, same dtype, for the tokens that the frozen block keeps, and the router weights weight_BTE,
            float32.
        """
        block = self.frozen
        token_BTD = token_BTD + block.attention(block.ln_1(token_BTD))
        normal_BTD = block.ln_2(token_BTD)
        delta_BKD, weight_BTE = self.experts(normal_BTD, block.kept)
        token_BKD, normal_BKD = token_BTD[:, : block.kept], normal_BTD[:, : block.kept]
        return token_BKD + block.mlp(normal_BKD) + delta_BKD.to(token_BTD.dtype), weight_BTE
