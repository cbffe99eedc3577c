"""Head: maps features to a logit.

Legend: B images, F features, P principal components, C centres.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from mole.config import DetectorConfig
from mole.errors import ModelError


class Standardizer(nn.Module):
    """(x - mean) / scale, elementwise: blocks differ in scale a hundredfold, and a weight penalty ignores that.

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
        """Standardize; float32, same shape."""
        return (read_BF - self.mean_F) / self.scale_F


CENTRE_DTYPE = torch.float8_e4m3fn
"""Of the centres of a new kernel head: a byte a number with three bits after the first."""
MAX_CENTRE = 256.0
"""Bound of a centre's components; above 448 `CENTRE_DTYPE` has no numbers."""


class RBFKernel(nn.Module):
    """exp(-gamma · |z - c|²) for each centre c, where z are the principal components of the features.

    Components are stored in float16 and centres in 8 bits (in float16 by earlier versions); the head is fitted with the
    rounded values, so that rounding a centre moves it and costs nothing else.

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
        self.register_buffer("centre_CP", torch.zeros(centres, components).to(CENTRE_DTYPE))
        self.register_buffer("gamma", torch.ones(()))

    def adopt(self, dtype: torch.dtype) -> None:
        """Hold centres as a checkpoint has them: those of an earlier version, in float16, must not be rounded again."""
        self.centre_CP = self.centre_CP.to(dtype if dtype == CENTRE_DTYPE else torch.float16)

    def forward(self, standard_BF: Tensor) -> Tensor:
        """Compute the kernel; float32 standardized features (B, F) to float32 (B, C) in (0, 1]."""
        return rbf_kernel(standard_BF @ self.turn_PF.float().T, self.centre_CP.float(), self.gamma)


def rbf_kernel(one_BP: Tensor, centre_CP: Tensor, gamma: Tensor) -> Tensor:
    """Compute exp(-gamma · |z - c|²) by expanding the square, so that the gradient is finite at a centre.

    Returns:
        (B, C), same dtype.
    """
    square_BC = one_BP.square().sum(1, keepdim=True) + centre_CP.square().sum(1) - 2 * one_BP @ centre_CP.T
    return torch.exp(-gamma * square_BC.clamp_min(0))


class Head(nn.Sequential):
    """Maps features (B, F) to logits (B, 1).

    The paper's head is one linear layer. Features of reads are standardized first. What is fitted but not trained by
    gradient (means, deviations, components, centres) is a buffer and part of the checkpoint.

    Args:
        features: F.
        config: settings of the head.
        standard: whether features are standardized; those of a kernel head always are.

    Attributes:
        features: F.

    Raises:
        ModelError: a kernel head has more components than there are features.
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
        """The standardizer, None if there is none."""
        return next((layer for layer in self if isinstance(layer, Standardizer)), None)

    @property
    def kernel(self) -> RBFKernel | None:
        """The kernel, None if there is none."""
        return next((layer for layer in self if isinstance(layer, RBFKernel)), None)

    @property
    def linear(self) -> list[nn.Linear]:
        """The trainable layers."""
        return [layer for layer in self if isinstance(layer, nn.Linear)]
