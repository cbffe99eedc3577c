"""Training stages: which weights a stage trains, and which experts are switched off in it.

An expert that is trained separately from the others is alone in the mixture: the up-projections of the others are zero
in that stage, as they were initially. It is trained at the weight that a fresh router gives it, so the sum of all
experts is the starting point of later stages.

Source: SEF, arXiv:2605.14486: kinds of artefact that are trained into one adapter impair one another.

Legend: E separate experts, R ranks of all experts side by side, D width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mole.model.detector import MoLE, learned
from mole.model.experts import Experts
from mole.model.router import Router

EXPERTS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
"""Names of the separate experts, in order."""
SHARED, ROUTER = "shared", "router"
NAMES = (*EXPERTS, SHARED, ROUTER)


def trainable_masks(detector: MoLE, learns: Sequence[str]) -> dict[str, Tensor]:
    """Mark the weights that a stage trains.

    Args:
        detector: the detector.
        learns: names of experts, `shared` and `router`; empty for all.

    Returns:
        By the names of `learned`, bool of each weight's shape. The head is always trainable.
    """
    owners = {path: module for path, module in detector.named_modules() if isinstance(module, Experts | Router)}
    masks = {}
    for name, parameter in learned(detector).items():
        path, _, own = name.rpartition(".")
        owner = owners.get(path)
        mask = torch.ones_like(parameter, dtype=torch.bool)
        if learns and isinstance(owner, Router):
            mask &= ROUTER in learns
        elif learns and isinstance(owner, Experts):
            named = [expert_name(rank, owner) in learns for rank in range(len(owner.down_RD))]
            chosen_R = torch.tensor(named, device=parameter.device)
            mask &= chosen_R[:, None] if own == "down_RD" else chosen_R[None]
        masks[name] = mask
    return masks


def expert_name(rank: int, experts: Experts) -> str:
    """Return the name of the expert that a rank belongs to; the shared one comes first."""
    separate = rank - experts.shared_rank
    return SHARED if separate < 0 else EXPERTS[int(experts.expert_of_R[separate])]


def without_untrained_experts(detector: MoLE, learns: Sequence[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Switch off in a state the experts that a stage does not train.

    Args:
        detector: the detector.
        learns: of the stage. If it trains the router, or everything, all experts stay on.
        state: by the names and in the shapes of `learned`, on the CPU.

    Returns:
        The state with the up-projections of experts that are not trained set to zero.
    """
    if not learns or ROUTER in learns:
        return dict(state)
    masks = trainable_masks(detector, learns)
    return {
        name: torch.where(masks[name].cpu(), tensor, 0) if name.endswith("up_DR") else tensor
        for name, tensor in state.items()
    }
