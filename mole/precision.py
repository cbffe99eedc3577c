"""Precision: a detector's copy in bfloat16, and which of the two is the faster one where it runs.

Legend: B images, T tokens, D width.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mole.block import AdaptedBlock
from mole.detector import Detector, learned
from mole.tower import Block, QuickGELU

PROBE_IMAGES = 2

Precision = Literal["float32", "bfloat16"]


def in_bfloat16(detectors: Sequence[Detector]) -> list[Detector]:
    """Copy detectors with their frozen tower in bfloat16, shared as before; what was trained stays float32.

    QuickGELU becomes a SiLU, which is one pass over memory in place of three: x · sigmoid(s · x) = silu(s · x) / s, so
    s goes into the weights before it and 1 / s into those behind it, before they are rounded.

    Behind the last block only the class token is read, so no other goes through its MLP: an eighteenth of B/16's work.
    In float32 all do, since products of another shape round otherwise, and fresh experts leave the tower bit for bit.
    """
    copies: dict[int, object] = {}
    for detector in detectors:
        kept = {id(parameter) for parameter in learned(detector).values()}
        scales = dict(scale for block in detector.modules() if isinstance(block, Block) for scale in _slopes(block))
        for parameter in detector.parameters():
            if id(parameter) not in kept and id(parameter) not in copies:
                rounded = (parameter * scales.get(id(parameter), 1.0)).bfloat16()
                copies[id(parameter)] = nn.Parameter(rounded, requires_grad=False)
        copies |= {id(module): nn.SiLU(inplace=True) for module in detector.modules() if isinstance(module, QuickGELU)}
    halves: list[Detector] = copy.deepcopy(list(detectors), copies)
    for half in halves:
        last = half.tower.transformer.resblocks[-1]
        cast(Block, last.frozen if isinstance(last, AdaptedBlock) else last).kept = 1
    return halves


def _slopes(block: Block) -> Iterator[tuple[int, float]]:
    """Tell by what the weights around a block's QuickGELU are multiplied."""
    wide, activation, narrow = block.mlp
    if isinstance(activation, QuickGELU):
        yield id(wide.weight), activation.SLOPE
        yield id(wide.bias), activation.SLOPE
        yield id(narrow.weight), 1 / activation.SLOPE


@torch.inference_mode()
def faster(detector: Detector) -> Precision:
    """Time a frozen block in both precisions; bfloat16 must win by a fifth, for it takes a second copy of the tower."""
    tower = detector.tower
    block = tower.transformer.resblocks[0]
    width = tower.class_embedding.shape[0]
    token_BTD = torch.randn(PROBE_IMAGES, len(tower.positional_embedding), width, device=tower.class_embedding.device)
    exact = _seconds(block, token_BTD)
    half = _seconds(copy.deepcopy(block).bfloat16(), token_BTD.bfloat16())
    return "bfloat16" if half * 1.2 < exact else "float32"


def _seconds(block: nn.Module, token_BTD: Tensor) -> float:
    """Time a block, the faster of two runs after one that is not counted."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        block(token_BTD)
        if token_BTD.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
