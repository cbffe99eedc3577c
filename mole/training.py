"""Training: one step on cached trunk tokens, the same in one process and on many workers.

Legend: B batch, T tokens, D width, E separate experts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mole.detector import Detector, Head, detection_loss, learned
from mole.errors import ModelError, SettingsError


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


def optimizer_for(detector: Detector, rates: Rates) -> torch.optim.AdamW:
    """Give the head and the experts their own rates; the tower stays as it is.

    Args:
        detector: what trains in it is chosen by type.
        rates: learning rates and decay.
    """
    heads = {id(p) for module in detector.modules() if isinstance(module, Head) for p in module.parameters()}
    head = [parameter for parameter in learned(detector).values() if id(parameter) in heads]
    experts = [parameter for parameter in learned(detector).values() if id(parameter) not in heads]
    groups = [{"params": head, "lr": rates.head}, {"params": experts, "lr": rates.experts}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.999), weight_decay=rates.decay)


def training_step(
    detector: Detector, optimizer: torch.optim.Optimizer, token_BTD: Tensor, label_B: Tensor
) -> StepReport:
    """Move what learns by one step.

    Args:
        detector: in any mode; it has no dropout.
        optimizer: from `optimizer_for`.
        token_BTD: what `Detector.trunk` gave for the batch, in the dtype of the tower.
        label_B: float32, 1 for generated, 0 for real.

    Returns:
        The loss before the step, the balance term and the load of each expert.

    Raises:
        ModelError: the loss is not a number.
    """
    output = detector.tail(token_BTD)
    loss = detection_loss(output, label_B, detector.config.aux_coef)
    if not torch.isfinite(loss):
        raise ModelError(f"the loss must be finite, got {loss.item()}; lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    load_E = tuple(output.gates_BE.detach().mean(dim=0).tolist())
    return StepReport(float(loss.detach()), float(output.balance.detach()), load_E)
