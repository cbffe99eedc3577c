"""Training step: loss, optimizer, schedule and one update of experts and head; the head is fitted before.

Fitting the head before the layers below it change preserves the features (Kumar et al. 2022, arXiv:2202.10054).

Legend: N images, B batch, T tokens, D width, F feature, E separate experts.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from mole.errors import ModelError, SettingsError
from mole.model.detector import MoLE, detection_loss, learned
from mole.model.head import Head
from mole.training.head_fit import Examples, fit

WARM_UP_SHARE = 0.1  # share of the steps of the linear warm-up; a cosine decay to zero follows


@dataclass(frozen=True)
class Rates:
    """Learning rates and weight decay."""

    head: float = 1e-3
    experts: float = 1e-4
    decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: a rate is negative.
        """
        if min(self.head, self.experts, self.decay) < 0:
            raise SettingsError(f"rates must not be negative, got {self}")


@dataclass(frozen=True)
class StepReport:
    """The measurements of one step, before its update."""

    loss: float
    balance: float
    load_E: tuple[float, ...]  # mean weight of each separate expert
    entropy: float  # of an image's mean weights, mean over images; ln E if no expert is preferred


def optimizer_for(detector: MoLE, rates: Rates) -> torch.optim.AdamW:
    """Create the optimizer, with separate learning rates for the head and the experts.

    Args:
        detector: its trainable parameters are selected by type.
        rates: learning rates and decay.
    """
    heads = {id(p) for module in detector.modules() if isinstance(module, Head) for p in module.parameters()}
    head = [parameter for parameter in learned(detector).values() if id(parameter) in heads]
    experts = [parameter for parameter in learned(detector).values() if id(parameter) not in heads]
    both = [{"params": head, "lr": rates.head}, {"params": experts, "lr": rates.experts}]
    groups = [group for group in both if group["params"]]
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=rates.decay)


def schedule(step: int, steps: int) -> float:
    """Return the factor of the learning rate at a step: linear warm-up, then cosine decay to zero."""
    rise = max(1, round(WARM_UP_SHARE * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def fit_head(
    detector: MoLE,
    feature_NF: Tensor,
    label_N: Tensor,
    weight_N: Tensor,
    penalty: float,
    *,
    whitening: float = 0.0,
) -> float:
    """Fit the head to features by penalized regression; see `mole.training.head_fit`.

    Args:
        detector: its head is modified in place.
        feature_NF: float32, from `MoLE.feature`.
        label_N: float32, 1 for generated, 0 for real.
        weight_N: float32, weight of each image; only ratios matter.
        penalty: half of it times the squared norm of the weights is added to the mean loss; biases are not penalized.
        whitening: of a kernel head, in [0, 1]: each principal component is divided by its standard deviation to this
            power.

    Returns:
        The penalised loss at the end.

    Raises:
        SettingsError: the penalty is not above 0, the whitening is not in [0, 1], or a kernel head has more centres
            than examples.
    """
    if penalty <= 0:
        raise SettingsError(f"penalty must be above 0, got {penalty}")
    if not 0 <= whitening <= 1:
        raise SettingsError(f"whitening must lie in [0, 1], got {whitening}")
    examples = Examples(feature_NF, label_N, weight_N / weight_N.sum())
    return fit(detector.head, examples, penalty, whitening)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over the processes of a distributed training in one all-reduce; no-op in one process.

    The trainable parameters take under a megabyte, so one flat all-reduce per step suffices.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def disagreement(logit_B: Tensor) -> Tensor:
    """Compute the mean squared difference between the logits of two perturbed versions of each image.

    Args:
        logit_B: float, the two versions of an image adjacent, so B is even.

    Returns:
        A scalar of the same dtype.

    Source: DCPT, consistency between degraded versions; here on the logit, which decides the verdict.
    """
    return (logit_B[0::2] - logit_B[1::2]).square().mean()


def training_step(
    detector: MoLE,
    optimizer: torch.optim.Optimizer,
    token_BTD: Tensor,
    label_B: Tensor,
    *,
    consistency: float = 0.0,
) -> StepReport:
    """Run one optimizer step; in a distributed training, with gradients averaged over all processes.

    Args:
        detector: in any mode; it has no dropout.
        optimizer: from `optimizer_for`.
        token_BTD: output of `MoLE.trunk` for the batch, in the tower's dtype.
        label_B: float32, 1 for generated, 0 for real.
        consistency: weight of `disagreement`; if not 0, two versions of an image are adjacent.

    Returns:
        The loss before the step, the load-balancing loss and the load of each expert.

    Raises:
        ModelError: the loss is not a number.
    """
    output = detector.forward_tokens(token_BTD)
    loss = detection_loss(output, label_B, detector.config.aux_coef)
    if consistency:
        loss = loss + consistency * disagreement(output.logit_B)
    if not torch.isfinite(loss):
        raise ModelError(f"the loss must be finite, got {loss.item()}; lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(learned(detector).values())
    optimizer.step()
    gates_BE = output.gates_BE.detach()
    load_E = tuple(gates_BE.mean(dim=0).tolist())
    entropy = float(torch.special.entr(gates_BE).sum(dim=-1).mean()) if load_E else 0.0
    return StepReport(float(loss.detach()), float(output.balance.detach()), load_E, entropy)
