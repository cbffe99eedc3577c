"""Inference: a loaded detector scores views, in the precision that is fastest where it runs, with float32's verdicts.

Shapes: B images, C views of an image, S side of a view, E separate experts.
"""

import copy
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.checkpoint import Checkpoint
from mole.detector import LEARNS, Detector
from mole.errors import ModelError
from mole.view import normalise

PROBE_IMAGES = 8
DRIFT = 0.25
"""Logits this near to a threshold are computed again in float32: above the largest drift of bfloat16 that was measured
on the embedded model (docs/precision.md)."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Scores:
    """What a batch got.

    Attributes:
        logit: float32 (B,).
        gates: float32 (B, E), mean router weight of each separate expert.
    """

    logit: NDArray[np.float32]
    gates: NDArray[np.float32]


class Scorer:
    """A detector ready to score.

    Args:
        checkpoint: the loaded model.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        precision: None chooses the faster one by measuring a block.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", *, precision: Precision | None = None) -> None:
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(chosen)
        self.preprocess = checkpoint.preprocess
        calibration = checkpoint.calibration
        self.thresholds = np.array([calibration.real_below, calibration.generated_above])
        self.exact = checkpoint.detector.to(self.device)
        self.precision = precision or faster(self.exact)
        self.fast = self.exact if self.precision == "float32" else in_bfloat16(self.exact)

    @torch.inference_mode()
    def score(self, pixels_V3SS: Tensor, *, crops: int = 1) -> Scores:
        """Score a batch of images.

        Args:
            pixels_V3SS: uint8, V = B x C, the views of an image one after the other.
            crops: C.

        Returns:
            Logits and gates, means over an image's views; a logit near a threshold is float32's, so that no verdict
            depends on the precision.

        Raises:
            ModelError: a logit is not finite.
        """
        view_V3SS = normalise(pixels_V3SS.to(self.device, non_blocking=True), self.preprocess)
        logit, gates = self._run(self.fast, view_V3SS, crops)
        if self.fast is not self.exact:
            near = np.flatnonzero(np.abs(logit[:, None] - self.thresholds).min(axis=1) <= DRIFT)
            if len(near):
                again_V = (near[:, None] * crops + np.arange(crops)).ravel()
                again_V3SS = view_V3SS[torch.from_numpy(again_V).to(self.device)]
                logit[near], gates[near] = self._run(self.exact, again_V3SS, crops)
        if not np.isfinite(logit).all():
            raise ModelError(
                f"{(~np.isfinite(logit)).sum()} of {len(logit)} logits are not finite; the model is damaged"
            )
        return Scores(logit, gates)

    def _run(
        self, detector: Detector, view_V3SS: Tensor, crops: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        output = detector(view_V3SS.to(detector.tower.conv1.weight.dtype))
        logit_BC = output.logit_B.float().reshape(-1, crops)
        gates_BCE = output.gates_BE.float().reshape(len(logit_BC), crops, -1)
        return logit_BC.mean(dim=1).cpu().numpy().copy(), gates_BCE.mean(dim=1).cpu().numpy().copy()


def in_bfloat16(detector: Detector) -> Detector:
    """Copy a detector with its frozen tower in bfloat16; what was trained stays float32."""
    fast = copy.deepcopy(detector).bfloat16()
    exact = dict(detector.named_modules())
    for path, module in fast.named_modules():
        if isinstance(module, LEARNS):
            module.float().load_state_dict(exact[path].state_dict())
    return fast


@torch.inference_mode()
def faster(detector: Detector) -> Precision:
    """Time a frozen block in both precisions; bfloat16 must win by a fifth, for it takes a second copy of the tower."""
    tower = detector.tower
    block = tower.transformer.resblocks[0]
    width = tower.class_embedding.shape[0]
    tokens = torch.randn(PROBE_IMAGES, len(tower.positional_embedding), width, device=tower.class_embedding.device)
    exact = _seconds(block, tokens)
    half = _seconds(copy.deepcopy(block).bfloat16(), tokens.bfloat16())
    return "bfloat16" if half * 1.2 < exact else "float32"


def _seconds(block: torch.nn.Module, tokens: Tensor) -> float:
    """Time a block, the fastest of three runs after one that is not counted."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        block(tokens)
        if tokens.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
