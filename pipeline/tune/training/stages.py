"""Stages: which of a detector's weights a stage of a training may move, and which experts are silent in it.

An expert that is trained apart from the others is alone in the mixture: the others' up-projections are zero for that
time, which is how they began. It learns at the weight that a fresh router gives it, so that the sum of all is where the
later stages begin.

Source: SEF, arXiv:2605.14486: kinds of artefact that are trained into one adapter hurt one another.

Legend: E separate experts, R ranks of all experts side by side, D width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mole.model.detector import MoLE, learned
from mole.model.experts import Experts
from mole.model.router import Router

EXPERTS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
"""Names of the separate experts, in their order."""
SHARED, ROUTER = "shared", "router"
NAMES = (*EXPERTS, SHARED, ROUTER)


def trainable_masks(detector: MoLE, learns: Sequence[str]) -> dict[str, Tensor]:
    """Mark the weights that a stage may move.

    Args:
        detector: whose.
        learns: names of experts, `shared` and `router`; none for all.

    Returns:
        By the names of `learned`, bool of each weight's shape. The head may always move.
    """
    owners = {path: module for path, module in detector.named_modules() if isinstance(module, Experts | Router)}
    marks = {}
    for name, parameter in learned(detector).items():
        path, _, own = name.rpartition(".")
        owner = owners.get(path)
        mark = torch.ones_like(parameter, dtype=torch.bool)
        if learns and isinstance(owner, Router):
            mark &= ROUTER in learns
        elif learns and isinstance(owner, Experts):
            named = [expert_name(rank, owner) in learns for rank in range(len(owner.down_RD))]
            chosen_R = torch.tensor(named, device=parameter.device)
            mark &= chosen_R[:, None] if own == "down_RD" else chosen_R[None]
        marks[name] = mark
    return marks


def expert_name(rank: int, experts: Experts) -> str:
    """Name the expert that a rank belongs to, the shared one first."""
    separate = rank - experts.shared_rank
    return SHARED if separate < 0 else EXPERTS[int(experts.expert_of_R[separate])]


def without_untrained_experts(detector: MoLE, learns: Sequence[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Silence in a state what has no part in a stage.

    Args:
        detector: whose state it is.
        learns: of the stage. Where the router learns, or everything, all experts speak.
        state: by the names of `learned`, on the CPU.

    Returns:
        The state, in which the up-projections of experts that do not learn are zero.
    """
    if not learns or ROUTER in learns:
        return dict(state)
    marks = trainable_masks(detector, learns)
    return {
        name: torch.where(marks[name].cpu(), tensor, 0) if name.endswith("up_DR") else tensor
        for name, tensor in state.items()
    }
