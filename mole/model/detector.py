"""MoLE detector: a frozen tower, experts in some of its blocks, and a head that separates generated from real images.

Shapes: B images, S side of the view, T tokens, P patches, D width, F feature, E separate experts.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mole.config import DetectorConfig, Pooling
from mole.errors import ModelError
from mole.model.block import AdaptedBlock
from mole.model.experts import Experts
from mole.model.head import Head
from mole.model.router import Router
from mole.tower.vit import Block, Tower

MIN_VARIANCE = 1e-12
"""Lower bound of a variance before its square root, whose gradient at zero is infinite."""


class DetectorOutput(NamedTuple):
    """The detector's output for a batch.

    Attributes:
        logit_B: float32; above 0 for generated, before calibration.
        gates_BE: float32, router weight of each separate expert, mean over tokens and adapted blocks.
        balance: float32 scalar, the load-balancing loss: 0 if all experts are used equally, at most E - 1.
    """

    logit_B: Tensor
    gates_BE: Tensor
    balance: Tensor


class MoLE(nn.Module):
    """A frozen tower with a mixture of low-rank experts.

    Attributes:
        depth: blocks that run; those above the deepest read are removed.
        split: blocks of the trunk: those below the first one with experts and up to the first read.

    Args:
        tower: it is frozen, and loses the blocks above the deepest read.
        config: settings of experts, reads and head.

    Raises:
        ModelError: the tower lacks the blocks or tokens that the settings name.

    Source: Liu et al. 2024, arXiv:2404.04883; feature and head as in Ojha et al. 2023, arXiv:2302.10174; reads of
    several blocks as in Koutlis and Papadopoulos 2024, arXiv:2402.19091.
    """

    def __init__(self, tower: Tower, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = tower.requires_grad_(False)
        blocks = tower.transformer.resblocks
        _demand(tower, config)
        self.split, self.depth = split_and_depth(config, len(blocks))
        del blocks[self.depth :]
        width = len(cast(Block, blocks[0]).ln_1.weight)
        for number in config.adapted(self.depth):
            experts = Experts(
                width,
                config.shared_rank,
                expert_ranks=config.expert_ranks,
                top_k=config.top_k or len(config.expert_ranks),
                scale=config.scale,
            )
            blocks[number] = AdaptedBlock(cast(Block, blocks[number]), experts)
        read = len(config.reads) * len(config.pooling) * width
        self.head = Head(read or cast(int, tower.features), config, standard=bool(config.reads))

    @property
    def dtype(self) -> torch.dtype:
        """The tower's dtype."""
        return next(self.tower.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """The tower's device."""
        return next(self.tower.parameters()).device

    @property
    def reads_patches(self) -> bool:
        """Whether more than the class token is read after the last block."""
        return self.config.pooling != ("class",) if self.config.reads else self.tower.kept is None

    def trunk(self, view_B3SS: Tensor, depth: int | None = None) -> Tensor:
        """Run the frozen part: the embedding and the blocks below the first adapted one and the first read.

        Args:
            view_B3SS: normalized views, in the tower's dtype.
            depth: number of blocks to run; None for `split`.

        Returns:
            token_BTD, same dtype.
        """
        return self.run_blocks(self.tower.embed(view_B3SS), 0, self.split if depth is None else depth)

    def run_blocks(self, token_BTD: Tensor, first: int, stop: int) -> Tensor:
        """Run the blocks `first` to `stop` - 1, none of them adapted; token_BTD, same dtype."""
        for block in self.tower.transformer.resblocks[first:stop]:
            token_BTD = block(token_BTD)
        return token_BTD

    def feature(self, token_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Run the blocks above the trunk and compute the feature.

        Args:
            token_BTD: the trunk's output.

        Returns:
            feature_BF, float32, not normalized: the tower's feature, or the pooled tokens of all reads concatenated;
            and weight_BLE, float32, the router weights averaged over tokens in each of the L adapted blocks.
        """
        weights, reads = [], [self.read(token_BTD)] if self.split in self.config.reads else []
        for number, block in enumerate(self.tower.transformer.resblocks[self.split :], self.split + 1):
            if isinstance(block, AdaptedBlock):
                token_BTD, weight_BTE = block(token_BTD)
                weights.append(weight_BTE.mean(dim=1))
            else:
                token_BTD = block(token_BTD)
            if number in self.config.reads:
                reads.append(self.read(token_BTD))
        feature_BF = torch.cat(reads, dim=1) if reads else self.tower.read(token_BTD).float()
        experts = len(self.config.expert_ranks) if weights else 0
        weight_BLE = torch.stack(weights, dim=1) if weights else feature_BF.new_empty((len(feature_BF), 0, experts))
        return feature_BF, weight_BLE

    def read(self, token_BTD: Tensor) -> Tensor:
        """Pool a block's tokens in each way of `pooling`, concatenated; float32 (B, poolings x D)."""
        return torch.cat([pooled(token_BTD, name, self.tower.prefix) for name in self.config.pooling], dim=1)

    def forward_tokens(self, token_BTD: Tensor) -> DetectorOutput:
        """Compute logits from the trunk's output; all trainable parameters are used here."""
        feature_BF, weight_BLE = self.feature(token_BTD)
        logit_B = self.head(feature_BF).squeeze(-1)
        if weight_BLE.shape[1] * weight_BLE.shape[2] == 0:
            return DetectorOutput(logit_B, logit_B.new_empty((len(logit_B), 0)), logit_B.new_zeros(()))
        load_LE = weight_BLE.mean(dim=0)
        balance = (load_LE.square().sum(dim=-1) * load_LE.shape[-1] - 1).mean()
        return DetectorOutput(logit_B, weight_BLE.mean(dim=1), balance)

    def forward(self, view_B3SS: Tensor) -> DetectorOutput:
        """Score normalized views, float (B, 3, S, S), in the tower's dtype."""
        return self.forward_tokens(self.trunk(view_B3SS))


def pooled(token_BTD: Tensor, name: Pooling, prefix: int) -> Tensor:
    """Pool tokens.

    Args:
        token_BTD: any float dtype.
        name: the pooling.
        prefix: tokens before the patches, the class token first.

    Returns:
        float32 (B, D).
    """
    if name == "class":
        return token_BTD[:, 0].float()
    patch_BPD = token_BTD[:, prefix:].float()
    if name == "mean":
        return patch_BPD.mean(dim=1)
    return patch_BPD.var(dim=1, unbiased=False).clamp_min(MIN_VARIANCE).sqrt()


def split_and_depth(config: DetectorConfig, layers: int) -> tuple[int, int]:
    """Return the number of blocks of the trunk and of blocks that run, for a tower of `layers` blocks."""
    depth = config.reads[-1] if config.reads else layers
    return min([*config.adapted(depth)[:1], *config.reads[:1], depth]), depth


def _demand(tower: Tower, config: DetectorConfig) -> None:
    """Check that a tower has the blocks and tokens that the settings name.

    Raises:
        ModelError: it does not.
    """
    layers = len(tower.transformer.resblocks)
    run = config.reads[-1] if config.reads else layers
    numbers = {
        "reads": (1, layers, run),
        "blocks": (0, layers - 1, max(config.blocks or (), default=0)),
        "adapted_blocks": (0, run, config.adapted_blocks if config.adapts and config.blocks is None else 0),
    }
    for name, (least, most, number) in numbers.items():
        if number > most:
            raise ModelError(
                f"{name} must lie in [{least}, {most}], got {number}: {run} of the tower's {layers} blocks run; "
                "lower it, or use a deeper tower"
            )
    if config.reads and "class" in config.pooling and not tower.classed:
        raise ModelError(f"this tower has no class token, got pooling {config.pooling}; use mean or deviation")
    if not config.reads and tower.features is None:
        raise ModelError(
            f"this tower ends at a block and has no feature, so the head needs reads in [1, {layers}], got none"
        )


LEARNS = (Experts, Router, Head)
"""Types of the modules that are trained; everything else is frozen."""


def learned(detector: MoLE) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name, selected by the type of their module."""
    return {
        f"{path}.{name}": parameter
        for path, module in detector.named_modules()
        if isinstance(module, LEARNS)
        for name, parameter in module.named_parameters()
        if not isinstance(module, Experts) or not name.startswith("router.")
    }


def stored(detector: MoLE) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name: trainable parameters and the head's fitted buffers.

    Each has the shape of its module's parameter, float32; a kernel's components are float16, its centres as it says.
    """
    return learned(detector) | {f"head.{name}": buffer for name, buffer in detector.head.named_buffers()}


def detection_loss(output: DetectorOutput, label_B: Tensor, aux_coef: float) -> Tensor:
    """Compute the binary cross-entropy of the logits plus the weighted load-balancing loss.

    Args:
        output: the detector's output for a batch.
        label_B: 1 for generated, 0 for real, float32 (B,), the shape of the logits.
        aux_coef: weight of the load-balancing loss.

    Returns:
        A float32 scalar.
    """
    entropy = nn.functional.binary_cross_entropy_with_logits(output.logit_B, label_B)
    return entropy + aux_coef * output.balance
