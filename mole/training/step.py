"""Training: the head alone first, then head and experts step by step, the same in one process and on many workers.

A head that is fitted before anything under it moves keeps the features it stands on (Kumar et al. 2022,
arXiv:2202.10054).

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
from mole.training.regression import Examples, fit

WARM_UP = 0.1  # share of the steps over which the rates rise; they fall to zero along a cosine after it


@dataclass(frozen=True)
class Rates:
    """How fast what learns may move."""

    head: float = 1e-3
    experts: float = 1e-4
    decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot train.

        Raises:
            SettingsError: a rate is negative.
        """
        if min(self.head, self.experts, self.decay) < 0:
            raise SettingsError(f"rates must not be negative, got {self}")


@dataclass(frozen=True)
class StepReport:
    """What one step measured, before it moved anything."""

    loss: float
    balance: float
    load_E: tuple[float, ...]  # mean weight of each separate expert
    entropy: float  # of an image's mean weights, mean over images; ln E where no expert is preferred


def optimizer_for(detector: MoLE, rates: Rates) -> torch.optim.AdamW:
    """Give the head and the experts their own rates; the tower stays as it is.

    Args:
        detector: what trains in it is chosen by type.
        rates: learning rates and decay.
    """
    heads = {id(p) for module in detector.modules() if isinstance(module, Head) for p in module.parameters()}
    head = [parameter for parameter in learned(detector).values() if id(parameter) in heads]
    experts = [parameter for parameter in learned(detector).values() if id(parameter) not in heads]
    both = [{"params": head, "lr": rates.head}, {"params": experts, "lr": rates.experts}]
    groups = [group for group in both if group["params"]]
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=rates.decay)


def schedule(step: int, steps: int) -> float:
    """Tell the share of the highest rate at a step: a straight rise, then a cosine to zero."""
    rise = max(1, round(WARM_UP * steps))
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
    sharpness: float = 1.0,
) -> float:
    """Fit the head to features by penalised logistic regression, whatever its kind; see `mole.training.regression`.

    Args:
        detector: its head is set, with what it standardises by; nothing else moves.
        feature_NF: float32, from `MoLE.feature`.
        label_N: float32, 1 for generated, 0 for real.
        weight_N: float32, how much each image counts; only the ratios matter.
        penalty: half of it times the squared length of the weights is added to the mean loss; biases are free.
        sharpness: of a kernel head; 1 is the usual width.

    Returns:
        The penalised loss at the end.

    Raises:
        SettingsError: the penalty or the sharpness is not above 0, or a kernel head has more centres than examples.
    """
    for name, value in (("penalty", penalty), ("sharpness", sharpness)):
        if value <= 0:
            raise SettingsError(f"{name} must be above 0, got {value}")
    examples = Examples(feature_NF, label_N, weight_N / weight_N.sum())
    return fit(detector.head, examples, penalty, sharpness)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over the processes of a distributed training, in one message; alone, do nothing.

    What learns is under a megabyte and the tower is frozen, so one flat message a step is all there is to overlap.
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
    """Square what two deliveries of one image differ by, mean over images.

    Args:
        logit_B: float, the two of an image side by side, so B is even.

    Returns:
        A scalar of the same dtype.

    Source: DCPT, consistency between deliveries; here on the logit, which is what a verdict is made of.
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
    """Move what learns by one step; in a distributed training, by the mean over all processes.

    Args:
        detector: in any mode; it has no dropout.
        optimizer: from `optimizer_for`.
        token_BTD: what `MoLE.trunk` gave for the batch, in the dtype of the tower.
        label_B: float32, 1 for generated, 0 for real.
        consistency: weight of `disagreement`; where it is not 0, two deliveries of an image lie side by side.

    Returns:
        The loss before the step, the balance term and the load of each expert.

    Raises:
        ModelError: the loss is not a number.
    """
    output = detector.tail(token_BTD)
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
