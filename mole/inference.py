"""Inference: a loaded detector scores views, in the precision that is fastest where it runs, with float32's verdicts.

Shapes: B images, C views of an image, S side of a view, E separate experts.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.block import AdaptedBlock
from mole.checkpoint import Checkpoint
from mole.config import demand_one_trunk
from mole.detector import LEARNS, Detector
from mole.errors import ModelError
from mole.tower import Block, normalise

PROBE_IMAGES = 4
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


class Panel:
    """Detectors over one tower: what they share of it runs once for all of them.

    Args:
        checkpoints: the loaded models, of one tower and one preprocessing.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        precision: None chooses the faster one by measuring a block.

    Raises:
        ModelError: the models stand on different towers, or see different views.
    """

    def __init__(
        self, checkpoints: Sequence[Checkpoint], device: str = "auto", *, precision: Precision | None = None
    ) -> None:
        demand_one_trunk([checkpoint.description for checkpoint in checkpoints])
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(chosen)
        self.preprocess = checkpoints[0].preprocess
        bounds = [checkpoint.calibration for checkpoint in checkpoints]
        self.thresholds = [np.array([bound.real_below, bound.generated_above]) for bound in bounds]
        detectors = [checkpoint.detector for checkpoint in checkpoints]
        for detector in detectors[1:]:
            share_tower(detectors[0], detector)
        self.exact = [detector.to(self.device) for detector in detectors]
        self.precision = precision or faster(self.exact[0])
        self.fast = self.exact if self.precision == "float32" else in_bfloat16(self.exact)

    @torch.inference_mode()
    def score(self, pixels_V3SS: Tensor, *, crops: int = 1) -> list[Scores]:
        """Score a batch of images.

        Args:
            pixels_V3SS: uint8, V = B x C, the views of an image one after the other.
            crops: C.

        Returns:
            Of each model, logits and gates, means over an image's views; a logit near a threshold is float32's, so that
            no verdict depends on the precision.

        Raises:
            ModelError: a logit is not finite.
        """
        view_V3SS = normalise(pixels_V3SS.to(self.device, non_blocking=True), self.preprocess)
        scores = run(self.fast, view_V3SS, crops)
        if self.fast is not self.exact:
            for detector, thresholds, score in zip(self.exact, self.thresholds, scores, strict=True):
                near = np.flatnonzero(np.abs(score.logit[:, None] - thresholds).min(axis=1) <= DRIFT)
                if len(near):
                    again_V = (near[:, None] * crops + np.arange(crops)).ravel()
                    again_V3SS = view_V3SS[torch.from_numpy(again_V).to(self.device)]
                    [again] = run([detector], again_V3SS, crops)
                    score.logit[near], score.gates[near] = again.logit, again.gates
        for score in scores:
            if not np.isfinite(score.logit).all():
                raise ModelError(
                    f"{(~np.isfinite(score.logit)).sum()} of {len(score.logit)} logits are not finite; "
                    "the model is damaged"
                )
        return scores


class Scorer:
    """A panel of one.

    Args:
        checkpoint: the loaded model.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        precision: None chooses the faster one by measuring a block.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", *, precision: Precision | None = None) -> None:
        self.panel = Panel([checkpoint], device, precision=precision)

    @property
    def precision(self) -> Precision:
        """The precision that was chosen."""
        return self.panel.precision

    def score(self, pixels_V3SS: Tensor, *, crops: int = 1) -> Scores:
        """Score a batch of images; see `Panel.score`."""
        [scores] = self.panel.score(pixels_V3SS, crops=crops)
        return scores


def share_tower(owner: Detector, guest: Detector) -> None:
    """Let a detector use another's frozen weights in place of its own, which are the same."""
    for name in ("conv1", "class_embedding", "positional_embedding", "ln_pre", "ln_post", "proj"):
        setattr(guest.tower, name, getattr(owner.tower, name))
    blocks = guest.tower.transformer.resblocks
    for number, block in enumerate(owner.tower.transformer.resblocks):
        frozen, own = block.frozen if isinstance(block, AdaptedBlock) else block, blocks[number]
        if isinstance(own, AdaptedBlock):
            own.frozen = cast(Block, frozen)
        else:
            blocks[number] = frozen


def run(detectors: Sequence[Detector], view_V3SS: Tensor, crops: int) -> list[Scores]:
    """Score normalised views with each detector; the blocks that none adapts run once.

    Args:
        detectors: on one tower.
        view_V3SS: float, V = B x C.
        crops: C.
    """
    first = detectors[0]
    shared = min(detector.split for detector in detectors)
    token_VTD = first.trunk(view_V3SS.to(first.tower.conv1.weight.dtype), shared)
    scores = []
    for detector in detectors:
        output = detector.tail(detector.rise(token_VTD, shared, detector.split))
        logit_BC = output.logit_B.float().reshape(-1, crops)
        gates_BCE = output.gates_BE.float().reshape(len(logit_BC), crops, -1)
        scores.append(Scores(*(mean.mean(dim=1).cpu().numpy().copy() for mean in (logit_BC, gates_BCE))))
    return scores


def in_bfloat16(detectors: Sequence[Detector]) -> list[Detector]:
    """Copy detectors with their frozen tower in bfloat16, shared as before; what was trained stays float32."""
    halves = copy.deepcopy(list(detectors))
    for half, detector in zip(halves, detectors, strict=True):
        half.bfloat16()
        exact = dict(detector.named_modules())
        for path, module in half.named_modules():
            if isinstance(module, LEARNS):
                module.float().load_state_dict(exact[path].state_dict())
    return halves


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
