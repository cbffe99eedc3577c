"""Token router: the weight of each separate expert for each token.

Shapes: B images, T tokens, D width, E experts.
"""

import torch
from torch import Tensor, nn


class Router(nn.Module):
    """Computes the weights of the separate experts per token.

    Args:
        width: D.
        experts: E.
        top_k: experts with a non-zero weight; their weights are renormalized to sum to 1.

    Source: Liu et al. 2024, arXiv:2404.04883, figure 2 ("Token Router"); dense softmax, with top_k as a setting, is our
    reading of it.
    """

    def __init__(self, width: int, experts: int, *, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.gate_ED = nn.Parameter(torch.zeros(experts, width))

    def forward(self, token_BTD: Tensor) -> Tensor:
        """Weigh every expert for every token.

        Args:
            token_BTD: output of the block's second LayerNorm, any float dtype.

        Returns:
            weight_BTE, float32, each token's weights summing to 1.
        """
        logit_BTE = token_BTD.float() @ self.gate_ED.float().T  # float32: a bfloat16 softmax loses the small weights
        weight_BTE = logit_BTE.softmax(dim=-1)
        if self.top_k == weight_BTE.shape[-1]:
            return weight_BTE
        kept = weight_BTE.topk(self.top_k, dim=-1)
        sparse_BTE = torch.zeros_like(weight_BTE).scatter(-1, kept.indices, kept.values)
        return sparse_BTE / sparse_BTE.sum(dim=-1, keepdim=True)
