"""Experts: all low-rank experts of a block in one matmul, router weights applied between down- and up-projection.

Shapes: B images, T tokens, K of them that the block outputs, D width, E separate experts, R the ranks of all experts
concatenated, the shared one first.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mole.model.router import Router


class Experts(nn.Module):
    """s·B_s A_s h + Σ_i g_i(h)·s_i·B_i A_i h, for every token h.

    Args:
        width: D.
        shared_rank: rank of the shared expert, which is not gated; 0 for none.
        expert_ranks: ranks of the separate experts.
        top_k: separate experts that a token is routed to.
        scale: alpha / r; alpha = r gives 1.

    Source: Liu et al. 2024, arXiv:2404.04883, figure 2; Hu et al. 2021, arXiv:2106.09685 for the initialization
    (down-projection Kaiming, up-projection zeros).
    """

    expert_of_R: Tensor

    def __init__(
        self, width: int, shared_rank: int, *, expert_ranks: Sequence[int], top_k: int, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.shared_rank = shared_rank
        self.scale = scale
        self.router = Router(width, len(expert_ranks), top_k=top_k) if expert_ranks else None
        ranks = shared_rank + sum(expert_ranks)
        self.down_RD = nn.Parameter(torch.empty(ranks, width))
        self.up_DR = nn.Parameter(torch.zeros(width, ranks))
        nn.init.kaiming_uniform_(self.down_RD, a=math.sqrt(5))
        numbers = [number for number, rank in enumerate(expert_ranks) for _ in range(rank)]
        self.register_buffer("expert_of_R", torch.tensor(numbers, dtype=torch.long), persistent=False)

    def forward(self, token_BTD: Tensor, kept: int | None = None) -> tuple[Tensor, Tensor]:
        """Compute the experts' contribution to the block's output.

        Args:
            token_BTD: output of the block's second LayerNorm, any float dtype.
            kept: number of leading tokens that the block outputs (K of T); None for all.

        Returns:
            delta_BKD, float32, and weight_BTE, float32 (E = 0 without separate experts).
        """
        token_BTD = token_BTD.float()
        middle_BKR = token_BTD[:, :kept] @ self.down_RD.float().T
        if self.router is None:
            weight_BTE = token_BTD.new_empty((*token_BTD.shape[:-1], 0))
        else:
            weight_BTE = self.router(token_BTD)
            gate_BKR = nn.functional.pad(weight_BTE[:, :kept, self.expert_of_R], (self.shared_rank, 0), value=1.0)
            middle_BKR = middle_BKR * gate_BKR
        return self.scale * (middle_BKR @ self.up_DR.float().T), weight_BTE
