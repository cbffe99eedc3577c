"""The head: what was read of the tower becomes a logit.

Legend: B images, F what is read, P principal components, C centres.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from mole.config import DetectorConfig
from mole.errors import ModelError


class Standardizer(nn.Module):
    """(x - mean) / scale, number by number: blocks differ in size a hundredfold, and a penalty weighs all alike.

    Args:
        features: F.
    """

    mean_F: Tensor
    scale_F: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("scale_F", torch.ones(features))

    def forward(self, read_BF: Tensor) -> Tensor:
        """Standardise; float32, the shape stays."""
        return (read_BF - self.mean_F) / self.scale_F


class RBFKernel(nn.Module):
    """exp(-gamma · |z - c|²) for each centre c, where z are principal components: how near an image is to each.

    Components and centres are kept in float16, in which they are fitted too.

    Args:
        features: F.
        components: P.
        centres: C.

    Source: Williams and Seeger 2000, "Using the Nyström method to speed up kernel machines" (a subset as centres).
    """

    turn_PF: Tensor
    centre_CP: Tensor
    gamma: Tensor

    def __init__(self, features: int, components: int, centres: int) -> None:
        super().__init__()
        self.register_buffer("turn_PF", torch.zeros(components, features, dtype=torch.float16))
        self.register_buffer("centre_CP", torch.zeros(centres, components, dtype=torch.float16))
        self.register_buffer("gamma", torch.ones(()))

    def forward(self, standard_BF: Tensor) -> Tensor:
        """Measure nearness; float32 standardised features to float32 (B, C) in (0, 1]."""
        return rbf_kernel(standard_BF @ self.turn_PF.float().T, self.centre_CP.float(), self.gamma)


def rbf_kernel(one_BP: Tensor, centre_CP: Tensor, gamma: Tensor) -> Tensor:
    """exp(-gamma · |z - c|²), any float dtype; a difference of squares, whose gradient is finite at a centre too.

    Returns:
        (B, C), in the same dtype.
    """
    square_BC = one_BP.square().sum(1, keepdim=True) + centre_CP.square().sum(1) - 2 * one_BP @ centre_CP.T
    return torch.exp(-gamma * square_BC.clamp_min(0))


class Head(nn.Sequential):
    """What was read to logits (B, 1).

    The paper's is one linear layer. Of reads all numbers are standardised first. What was fitted and does not learn
    (means, deviations, components, centres) is a buffer, and belongs to a checkpoint as the weights do.

    Args:
        features: F.
        config: which head.
        standard: whether what is read is standardised; a kernel's always is.

    Attributes:
        features: F.

    Raises:
        ModelError: a kernel head has more components than is read.
    """

    def __init__(self, features: int, config: DetectorConfig, *, standard: bool) -> None:
        layers: list[nn.Module] = [Standardizer(features)] if standard or config.head == "kernel" else []
        if config.head == "kernel":
            if config.components > features:
                raise ModelError(f"components must lie in [1, {features}], got {config.components}")
            layers += [RBFKernel(features, config.components, config.centres), nn.Linear(config.centres, 1)]
        else:
            sizes = [features] + [config.head_width or features] * (config.head_depth - 1)
            for narrow, wide in pairwise(sizes):
                layers += [nn.Linear(narrow, wide), nn.ReLU()]
            layers.append(nn.Linear(sizes[-1], 1))
        super().__init__(*layers)
        self.features = features

    @property
    def standard(self) -> Standardizer | None:
        """The standardising, None where there is none."""
        return next((layer for layer in self if isinstance(layer, Standardizer)), None)

    @property
    def kernel(self) -> RBFKernel | None:
        """The nearness to centres, None where there is none."""
        return next((layer for layer in self if isinstance(layer, RBFKernel)), None)

    @property
    def linear(self) -> list[nn.Linear]:
        """The layers that learn."""
        return [layer for layer in self if isinstance(layer, nn.Linear)]
