"""Head fit: penalized regression of a head on features, to the global optimum where it is unique.

Layers are fitted by logistic regression, a kernel by least squares: on collections that neither had seen, least squares
over the same centres ranked better (docs/decisions/, 055), and its optimum is one solution of linear equations.

Legend: N images, F features, P principal components, C centres.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mole.errors import SettingsError
from mole.model.head import MAX_CENTRE, Head, RBFKernel, Standardizer, rbf_kernel

ITERATIONS = 500
SEED = 0
"""Of the random choice of centres."""
MIN_DEVIATION = 1e-6
"""A feature with a smaller deviation is not scaled."""
MIN_VARIANCE_SHARE = 1e-10
"""Share of the largest variance below which a component is dropped: few images span few components."""
JITTER = 1e-6
"""Added to the diagonal of the centres' kernel matrix, so that its Cholesky factorization exists."""
LOGIT_SCALE = 3.0
"""Least squares aim at -1 and 1; scaled by this, logits of held-out images were calibrated (temperature 1)."""


@dataclass(frozen=True)
class Examples:
    """The training data of a head.

    Attributes:
        feature_NF: float32.
        label_N: float32, 1 for generated, 0 for real.
        share_N: float32, weight of each image; sum 1.
    """

    feature_NF: Tensor
    label_N: Tensor
    share_N: Tensor


def fit(head: Head, examples: Examples, penalty: float, whitening: float) -> float:
    """Fit a head of any kind; deterministic on one machine.

    A linear head is fitted from zero, an MLP from its current weights to a local optimum. A kernel head computes its
    principal components, samples its centres from the examples by their weight, and is fitted by least squares.

    Args:
        head: modified in place.
        examples: images of both classes.
        penalty: weight of the L2 penalty: half of it times the squared norm of the weights without biases is added to
            the mean loss; for a kernel head, all of it times the squared RKHS norm.
        whitening: each principal component of a kernel head is divided by its standard deviation to this power: at 0
            the few directions of the largest variance, which are those of content, decide what is near.

    Returns:
        The penalized loss at the end.

    Raises:
        SettingsError: fewer examples have a weight above 0 than a kernel head has centres.
    """
    standard, kernel = head.standard, head.kernel
    if standard is not None:
        standardise(standard, examples)
    if kernel is not None:
        return _fit_kernel(head, kernel, examples, penalty, whitening)
    layers = head.linear
    if len(layers) == 1:
        nn.init.zeros_(layers[0].weight)
        nn.init.zeros_(layers[0].bias)
    return minimize_lbfgs(head, examples, penalty)


def standardise(standard: Standardizer, examples: Examples) -> None:
    """Set mean and scale to the weighted mean and standard deviation of the examples."""
    share_N1 = examples.share_N.double()[:, None]
    mean_F = (share_N1 * examples.feature_NF).sum(dim=0)
    scale_F = (share_N1 * (examples.feature_NF - mean_F).square()).sum(dim=0).sqrt()
    standard.mean_F.copy_(mean_F)
    standard.scale_F.copy_(scale_F.where(scale_F > MIN_DEVIATION, torch.ones_like(scale_F)))


def minimize_lbfgs(head: Head, examples: Examples, penalty: float) -> float:
    """Minimize the penalized mean loss over a head's layers by L-BFGS, from their current weights.

    Args:
        head: a head of linear layers.
        examples: the training data.
        penalty: half of it times the squared norm of the weights is added; biases are not penalized.

    Returns:
        The loss at the end.
    """
    head.double()  # in float32 the line search may end far from the optimum
    feature_NF, label_N, share_N = examples.feature_NF.double(), examples.label_N.double(), examples.share_N.double()
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=ITERATIONS, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        """Compute the penalized loss, float64 of shape (), and its gradient."""
        optimizer.zero_grad()
        logit_N = head(feature_NF).squeeze(-1)
        entropy_N = functional.binary_cross_entropy_with_logits(logit_N, label_N, reduction="none")
        length = torch.stack([layer.weight.square().sum() for layer in head.linear]).sum()
        total = (share_N * entropy_N).sum() + penalty / 2 * length
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    reached = float(loss().detach())
    head.zero_grad(set_to_none=True)
    head.float()
    return reached


@torch.no_grad()
def _fit_kernel(head: Head, kernel: RBFKernel, examples: Examples, penalty: float, whitening: float) -> float:
    """Set components, centres and gamma, then fit by least squares in float64; return the loss at the end.

    With K = L Lᵀ the kernel matrix of the centres, the function is linear in L⁻¹ k(x), and its RKHS norm is that of the
    linear weights.

    Raises:
        SettingsError: fewer examples have a weight above 0 than there are centres.
    """
    [last] = head.linear
    counting, centres = int((examples.share_N > 0).sum()), len(kernel.centre_CP)
    if counting < centres:
        raise SettingsError(f"centres must lie in [1, {counting}], the examples that count, got {centres}")
    standard_NF = _standardised(head, examples.feature_NF)
    turn_PF, variance = _components(standard_NF, examples.share_N, len(kernel.turn_PF), whitening)
    random = torch.Generator().manual_seed(SEED)
    chosen_C = torch.multinomial(examples.share_N.cpu(), centres, generator=random).sort().values
    chosen_C = chosen_C.to(standard_NF.device)
    shrink = max(1.0, float((standard_NF[chosen_C] @ turn_PF.T).abs().max()) / MAX_CENTRE)
    kernel.turn_PF.copy_(turn_PF / shrink)
    kernel.gamma.fill_(shrink**2 / variance)
    component_NP = standard_NF @ kernel.turn_PF.double().T
    kernel.centre_CP.copy_(component_NP[chosen_C])
    centre_CP, gamma = kernel.centre_CP.double(), kernel.gamma.double()
    near_CC = rbf_kernel(centre_CP, centre_CP, gamma)
    lower_CC = torch.linalg.cholesky(near_CC + JITTER * torch.eye(centres, dtype=torch.float64, device=gamma.device))
    mapped_NC = torch.linalg.solve_triangular(lower_CC, rbf_kernel(component_NP, centre_CP, gamma).T, upper=False).T
    share_N1 = examples.share_N.double()[:, None]
    target_N1 = 2 * examples.label_N.double()[:, None] - 1
    bias = (share_N1 * target_N1).sum()
    square_CC = mapped_NC.T @ (share_N1 * mapped_NC)
    square_CC.diagonal().add_(penalty)
    weight_C1 = torch.linalg.solve(square_CC, mapped_NC.T @ (share_N1 * (target_N1 - bias)))
    missed_N1 = target_N1 - bias - mapped_NC @ weight_C1
    last.weight.copy_(LOGIT_SCALE * torch.linalg.solve_triangular(lower_CC.T, weight_C1, upper=True).T)
    last.bias.fill_(float(LOGIT_SCALE * bias))
    return float((share_N1 * missed_N1.square()).sum() + penalty * weight_C1.square().sum())


def _standardised(head: Head, feature_NF: Tensor) -> Tensor:
    """Standardize as the head does; float64 (N, F)."""
    return feature_NF.double() if head.standard is None else head.standard(feature_NF).double()


def _components(standard_NF: Tensor, share_N: Tensor, max_components: int, whitening: float) -> tuple[Tensor, float]:
    """Compute the principal components of centred features, each divided by its deviation to the power `whitening`.

    Args:
        standard_NF: float64.
        share_N: weight of each image.
        max_components: P.
        whitening: in [0, 1].

    Returns:
        turn_PF, float64, one component per row, zero rows if there are fewer; and their total variance.
    """
    weighed_NF = standard_NF * share_N.double().sqrt()[:, None]
    variance_F, direction_FF = torch.linalg.eigh(weighed_NF.T @ weighed_NF)
    variance_P, turn_PF = variance_F.flip(0)[:max_components], direction_FF.T.flip(0)[:max_components]
    there_P = variance_P > MIN_VARIANCE_SHARE * variance_P[0]
    scale_P = variance_P.where(there_P, torch.ones_like(variance_P)) ** (-whitening / 2) * there_P
    return turn_PF * scale_P[:, None], max(float((variance_P * scale_P.square()).sum()), MIN_DEVIATION)
