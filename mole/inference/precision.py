"""Precision: a detector's copy in bfloat16, and the choice of the faster precision on this machine.

Legend: B images, T tokens, D width.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mole.model.detector import MoLE, learned
from mole.tower.vit import Block, QuickGELU

PROBE_IMAGES = 2
PROBE_ROWS, PROBE_SIDE = 64, 768
"""Shape of the product that tells whether a CPU has bfloat16."""

Precision = Literal["float32", "bfloat16"]


def in_bfloat16(detectors: Sequence[MoLE]) -> list[MoLE]:
    """Copy detectors with their frozen tower in bfloat16, shared as before; trained weights stay float32.

    QuickGELU becomes SiLU, one pass over memory instead of three: x · sigmoid(s · x) = silu(s · x) / s, so s is folded
    into the weights before it and 1 / s into those after it, before they are rounded.

    Often only the class token is read after the last block. If that holds for all detectors that run it, no other token
    goes through its MLP: an eighteenth of B/16's work. In float32 all do, since products of another shape round
    differently, and untrained experts must leave the tower's output bit-identical.
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
    halves: list[MoLE] = copy.deepcopy(list(detectors), copies)
    blocks = [[module for module in half.modules() if isinstance(module, Block)] for half in halves]
    whole = {
        id(block)
        for half, own in zip(halves, blocks, strict=True)
        for block in (own if half.reads_patches else own[:-1])
    }
    for own in blocks:
        if id(own[-1]) not in whole:
            own[-1].kept = 1
    return halves


def _slopes(block: Block) -> Iterator[tuple[int, float]]:
    """Yield the factors that are folded into the weights around a block's QuickGELU."""
    layers = list(block.mlp)
    activation = layers[1]
    if isinstance(activation, QuickGELU):
        wide, narrow = layers[0], layers[2]
        yield id(wide.weight), activation.SLOPE
        yield id(wide.bias), activation.SLOPE
        yield id(narrow.weight), 1 / activation.SLOPE


@torch.inference_mode()
def preferred_precision(device: str) -> Precision:
    """Return bfloat16 for a GPU, and for a CPU if it multiplies matrices faster in it.

    Args:
        device: `cpu` or `cuda`.
    """
    if device != "cpu":
        return "bfloat16"
    product = nn.Linear(PROBE_SIDE, PROBE_SIDE, bias=False)
    left_NF = torch.randn(PROBE_ROWS, PROBE_SIDE)
    exact, half = _seconds_in_both(product, left_NF)
    return "bfloat16" if half < exact else "float32"


@torch.inference_mode()
def faster(detector: MoLE) -> Precision:
    """Time a frozen block in both precisions; bfloat16 must win by 20 %, since it takes a second copy of the tower."""
    tower = detector.tower
    if preferred_precision(detector.device.type) == "float32":
        return "float32"  # without timing a block, which takes seconds where bfloat16 is emulated
    block = next(module for module in tower.modules() if isinstance(module, Block))
    weight_D = block.ln_1.weight
    token_BTD = torch.randn(PROBE_IMAGES, tower.tokens, len(weight_D), device=weight_D.device)
    exact, half = _seconds_in_both(block, token_BTD)
    return "bfloat16" if half * 1.2 < exact else "float32"


def _seconds_in_both(module: nn.Module, input_ND: Tensor) -> tuple[float, float]:
    """Time a module of float32 and its copy in bfloat16, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        exact = seconds_of(module, input_ND)
        half = seconds_of(copy.deepcopy(module).bfloat16(), input_ND.bfloat16())
    finally:
        torch.set_num_threads(threads)
    return exact, half


def seconds_of(block: nn.Module, token_BTD: Tensor) -> float:
    """Time a module: the faster of two runs after a warm-up run.

    Args:
        block: the module, on the device of its input.
        token_BTD: its input, of any shape.

    Returns:
        On a CPU the CPU seconds of this thread, independent of other load: by wall-clock time, float32 won beside two
        busy processes in 3 of 12 trials, and such a scan took 2.5 times as long. On a GPU wall-clock seconds.
    """
    clock = time.perf_counter if token_BTD.is_cuda else time.thread_time
    times = []
    for _ in range(3):
        start = clock()
        block(token_BTD)
        if token_BTD.is_cuda:
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times[1:])
