"""The detector: a frozen CLIP tower, experts in its last blocks, and a head that tells generated from real.

Shapes: B images, S side of the view, T tokens, D width, F feature, E separate experts.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mole.block import AdaptedBlock
from mole.config import DetectorConfig
from mole.errors import ModelError
from mole.experts import Experts
from mole.router import Router
from mole.tower import Block, Tower


class DetectorOutput(NamedTuple):
    """What the detector says of a batch.

    Attributes:
        logit_B: float32, above 0 for generated before calibration.
        gates_BE: float32, each separate expert's weight, mean over tokens and adapted blocks.
        balance: float32 scalar, 0 where all experts are used alike, at most E - 1.
    """

    logit_B: Tensor
    gates_BE: Tensor
    balance: Tensor


class Head(nn.Sequential):
    """Feature to logit; `depth` layers with ReLU between them."""

    def __init__(self, features: int, *, depth: int) -> None:
        hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(features, features), nn.ReLU())]
        super().__init__(*hidden, nn.Linear(features, 1))


class MoLE(nn.Module):
    """A frozen tower with a mixture of low-rank experts.

    Args:
        tower: it is frozen whole.
        config: experts and head.

    Raises:
        ModelError: the tower has no feature.

    Source: Liu et al. 2024, arXiv:2404.04883; feature and head as in Ojha et al. 2023, arXiv:2302.10174.
    """

    def __init__(self, tower: Tower, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = tower.requires_grad_(False)
        blocks = tower.transformer.resblocks
        self.split = len(blocks) - (config.adapted_blocks if config.adapts else 0)
        if tower.proj is None:
            raise ModelError(f"a tower cut after block {len(blocks)} has no feature for a head")
        width, features = tower.proj.shape
        for number in range(self.split, len(blocks)):
            experts = Experts(
                width,
                config.shared_rank,
                expert_ranks=config.expert_ranks,
                top_k=config.top_k or len(config.expert_ranks),
                scale=config.scale,
            )
            blocks[number] = AdaptedBlock(cast(Block, blocks[number]), experts)
        self.head = Head(features, depth=config.head_depth)

    def trunk(self, view_B3SS: Tensor, depth: int | None = None) -> Tensor:
        """Run what never changes: the embedding and the blocks below the adapted ones.

        Args:
            view_B3SS: normalised views, in the dtype of the tower.
            depth: stop below this block; None stops below the first adapted one.

        Returns:
            token_BTD, in the same dtype.
        """
        return self.rise(self.tower.embed(view_B3SS), 0, self.split if depth is None else depth)

    def rise(self, token_BTD: Tensor, first: int, behind: int) -> Tensor:
        """Run some blocks that are not adapted, from `first` to below `behind`."""
        for block in self.tower.transformer.resblocks[first:behind]:
            token_BTD = block(token_BTD)
        return token_BTD

    def feature(self, token_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Run the adapted blocks and read the class token.

        Args:
            token_BTD: the trunk's output.

        Returns:
            feature_BF, float32, not normalised, and weight_BLE, float32, the router's mean over tokens in each of the L
            adapted blocks.
        """
        weights = []
        for block in self.tower.transformer.resblocks[self.split :]:
            token_BTD, weight_BTE = block(token_BTD)
            weights.append(weight_BTE.mean(dim=1))
        feature_BF = self.tower.read(token_BTD).float()
        experts = len(self.config.expert_ranks) if weights else 0
        weight_BLE = torch.stack(weights, dim=1) if weights else feature_BF.new_empty((len(feature_BF), 0, experts))
        return feature_BF, weight_BLE

    def tail(self, token_BTD: Tensor) -> DetectorOutput:
        """Turn the trunk's output into logits; everything that trains is in here."""
        feature_BF, weight_BLE = self.feature(token_BTD)
        logit_B = self.head(feature_BF).squeeze(-1)
        if weight_BLE.shape[1] * weight_BLE.shape[2] == 0:
            return DetectorOutput(logit_B, logit_B.new_empty((len(logit_B), 0)), logit_B.new_zeros(()))
        load_LE = weight_BLE.mean(dim=0)
        balance = (load_LE.square().sum(dim=-1) * load_LE.shape[-1] - 1).mean()
        return DetectorOutput(logit_B, weight_BLE.mean(dim=1), balance)

    def forward(self, view_B3SS: Tensor) -> DetectorOutput:
        """Score normalised views, float (B, 3, S, S), in the dtype of the tower."""
        return self.tail(self.trunk(view_B3SS))


LEARNS = (Experts, Router, Head)
"""What trains, by type; everything else is frozen."""


def learned(detector: MoLE) -> dict[str, nn.Parameter]:
    """Name the parameters that train, chosen by the type of the module that owns them."""
    return {
        f"{path}.{name}": parameter
        for path, module in detector.named_modules()
        if isinstance(module, LEARNS)
        for name, parameter in module.named_parameters()
        if not isinstance(module, Experts) or not name.startswith("router.")
    }


def detection_loss(output: DetectorOutput, label_B: Tensor, aux_coef: float) -> Tensor:
    """Binary cross-entropy on the logits, and the balance term.

    Args:
        output: of a batch.
        label_B: 1 for generated, 0 for real, float32.
        aux_coef: weight of the balance term.

    Returns:
        A float32 scalar.
    """
    entropy = nn.functional.binary_cross_entropy_with_logits(output.logit_B, label_B)
    return entropy + aux_coef * output.balance
