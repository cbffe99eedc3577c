"""Scoring: scores views in the fastest precision, and near a threshold again in float32.

Shapes: B images, C views of an image, S side of a view, E separate experts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.checkpoint import Checkpoint
from mole.config import require_shared_backbone
from mole.errors import ModelError
from mole.inference.batching import Batcher
from mole.inference.precision import Precision, faster, in_bfloat16
from mole.model.block import AdaptedBlock
from mole.model.detector import MoLE
from mole.tower.vit import Block, normalise

RESCORE_MARGIN = 0.25
"""Logits this close to a threshold are recomputed in float32: above the largest error of bfloat16 measured on the
embedded model (docs/precision.md)."""
EDGE = 1e-4
"""Logits this close to a threshold are recomputed in float32 for each image alone and on one thread: above the largest
difference by batches and threads (docs/precision.md), so that neither moves a verdict."""

Output = tuple[Tensor, Tensor]
"""logit_B and gates_BE, float32, on the device."""


@dataclass(frozen=True)
class Scores:
    """The scores of a batch.

    Attributes:
        logit: float32 (B,).
        gates: float32 (B, E), mean router weight of each separate expert.
    """

    logit: NDArray[np.float32]
    gates: NDArray[np.float32]


class SharedBackboneScorer:
    """Scores with several detectors that share a backbone, whose common blocks run once.

    Args:
        checkpoints: the loaded models, with one tower and one preprocessing.
        device: `cpu`, `cuda`, or `auto` for a GPU if available.
        precision: None selects the faster one by timing a block.
        batch_size: images per forward pass; None for all images of a call.

    Raises:
        ModelError: the models have different towers or different preprocessing.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        device: str = "auto",
        *,
        precision: Precision | None = None,
        batch_size: int | None = None,
    ) -> None:
        require_shared_backbone([checkpoint.description for checkpoint in checkpoints])
        found = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(found if device == "auto" else device)
        self.batch_size = batch_size
        self.preprocess = checkpoints[0].preprocess
        bounds = [checkpoint.calibration for checkpoint in checkpoints]
        self.thresholds = [np.array([bound.real_below, bound.generated_above]) for bound in bounds]
        detectors = [checkpoint.detector for checkpoint in checkpoints]
        owner = max(detectors, key=lambda detector: detector.depth)  # it has every block that another one runs
        for detector in detectors:
            if detector is not owner:
                share_backbone(owner, detector)
        self.exact = [detector.to(self.device) for detector in detectors]
        self.precision = precision or faster(self.exact[0])
        self.fast = self.exact if self.precision == "float32" else in_bfloat16(self.exact)
        # CPU kernels for small batches round differently from those for large ones, up to 0.1 logit (docs/precision.md)
        self.batcher = Batcher(self.device, pad_small=self.precision == "bfloat16")

    @torch.inference_mode()
    def score(
        self, pieces_V3SS: Sequence[Tensor], *, crops: int = 1, on_batch: Callable[[int], None] | None = None
    ) -> list[Scores]:
        """Score images.

        Args:
            pieces_V3SS: uint8 (n, 3, S, S) each, V = B x C views in total, the views of an image one after the other.
            crops: C.
            on_batch: called after each forward pass with its number of images.

        Returns:
            For each model, logits and gates averaged over an image's views; logits near a threshold are computed in
            float32, and very near ones for each image alone, so that no verdict depends on precision, batch or threads.

        Raises:
            ModelError: a logit is not finite.
        """
        views = sum(map(len, pieces_V3SS))
        max_views = views if self.batch_size is None else self.batch_size * crops
        passes = [
            [
                (logit_B[: held // crops], gates_BE[: held // crops])
                for logit_B, gates_BE in forward(self.fast, normalise(pixels_N3SS, self.preprocess), crops)
            ]
            for pixels_N3SS, held in report_batches(self.batcher(pieces_V3SS, max_views, crops), on_batch, crops)
        ]
        scores = [to_host(outputs) for outputs in zip(*passes, strict=True)]
        if self.fast is not self.exact:
            for detector, thresholds, score in zip(self.exact, self.thresholds, scores, strict=True):
                near = _near(score, thresholds, RESCORE_MARGIN)
                if len(near):
                    again = self._score_float32(detector, select_views(pieces_V3SS, near, crops), max_views, crops)
                    score.logit[near], score.gates[near] = again.logit, again.gates
        for detector, thresholds, score in zip(self.exact, self.thresholds, scores, strict=True):
            for image in _near(score, thresholds, EDGE):
                alone = self._score_alone(detector, select_views(pieces_V3SS, np.array([image]), crops), crops)
                score.logit[image], score.gates[image] = alone.logit[0], alone.gates[0]
        for score in scores:
            if not np.isfinite(score.logit).all():
                raise ModelError(
                    f"{(~np.isfinite(score.logit)).sum()} of {len(score.logit)} logits are not finite; "
                    "the model is damaged"
                )
        return scores

    def _score_float32(self, detector: MoLE, pixels_V3SS: Tensor, max_views: int, crops: int) -> Scores:
        """Score in float32; uint8 (V, 3, S, S)."""
        parts = [normalise(part.to(self.device), self.preprocess) for part in torch.split(pixels_V3SS, max_views)]
        return to_host([forward([detector], part, crops)[0] for part in parts])

    def _score_alone(self, detector: MoLE, pixels_C3SS: Tensor, crops: int) -> Scores:
        """Score one image in float32 and on one thread; uint8 (C, 3, S, S)."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._score_float32(detector, pixels_C3SS, crops, crops)
        finally:
            torch.set_num_threads(threads)


def _near(score: Scores, thresholds: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Find the images whose logit lies near one of the thresholds (T,); their indices (N,)."""
    return np.flatnonzero(np.abs(score.logit[:, None] - thresholds).min(axis=1) <= distance)


class SingleModelScorer:
    """Scores with one detector.

    Args:
        checkpoint: the loaded model.
        device: `cpu`, `cuda`, or `auto` for a GPU if available.
        precision: None selects the faster one by timing a block.
        batch_size: images per forward pass; None for all images of a call.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        *,
        precision: Precision | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.shared = SharedBackboneScorer([checkpoint], device, precision=precision, batch_size=batch_size)

    @property
    def precision(self) -> Precision:
        """The precision in use, given or chosen."""
        return self.shared.precision

    def score(self, pixels_V3SS: Tensor, *, crops: int = 1) -> Scores:
        """Score a batch of images, uint8 (V, 3, S, S); see `SharedBackboneScorer.score`."""
        [scores] = self.shared.score([pixels_V3SS], crops=crops)
        return scores


def report_batches(
    batches: Iterable[tuple[Tensor, int]], on_batch: Callable[[int], None] | None, crops: int
) -> Iterator[tuple[Tensor, int]]:
    """Pass on batches, uint8 (N, 3, S, S), with their number of views; call `on_batch` once the next is requested."""
    for pixels_N3SS, held in batches:
        yield pixels_N3SS, held
        if on_batch is not None:
            on_batch(held // crops)


def share_backbone(owner: MoLE, guest: MoLE) -> None:
    """Replace a detector's frozen modules by the identical ones of another, as far as both have them."""
    there, own = owner.tower, guest.tower
    parts = {**dict(there.named_children()), **dict(there.named_parameters(recurse=False))}
    for name, part in parts.items():
        if name != "transformer" and getattr(own, name, None) is not None:
            setattr(own, name, part)
    blocks = own.transformer.resblocks
    for number, (block, mine) in enumerate(zip(there.transformer.resblocks, blocks, strict=False)):
        frozen = block.frozen if isinstance(block, AdaptedBlock) else block
        if isinstance(mine, AdaptedBlock):
            mine.frozen = cast(Block, frozen)
        else:
            blocks[number] = frozen


def forward(detectors: Sequence[MoLE], view_V3SS: Tensor, crops: int) -> list[Output]:
    """Score normalised views with each detector; the blocks below the first that one adapts or reads run once.

    Args:
        detectors: with one tower.
        view_V3SS: float, V = B x C.
        crops: C.

    Returns:
        For each detector logit_B and gates_BE, float32, averaged over an image's views; on the device.
    """
    first = detectors[0]
    shared = min(detector.split for detector in detectors)
    token_VTD = first.trunk(view_V3SS.to(first.dtype), shared)
    outputs = []
    for detector in detectors:
        output = detector.forward_tokens(detector.run_blocks(token_VTD, shared, detector.split))
        logit_B = output.logit_B.float().reshape(-1, crops).mean(dim=1)
        outputs.append((logit_B, output.gates_BE.float().reshape(len(logit_B), crops, -1).mean(dim=1)))
    return outputs


def to_host(outputs: Sequence[Output]) -> Scores:
    """Concatenate one detector's outputs of several batches and copy them to the host."""
    logit_B, gates_BE = (torch.cat(parts).cpu().numpy() for parts in zip(*outputs, strict=True))
    return Scores(logit_B, gates_BE)


def select_views(pieces_V3SS: Sequence[Tensor], image_K: NDArray[np.int64], crops: int) -> Tensor:
    """Collect the views of some images.

    Args:
        pieces_V3SS: uint8 each, V = B x C in total.
        image_K: indices of the images, int64.
        crops: C.

    Returns:
        uint8 (K x C, 3, S, S).
    """
    ends = np.cumsum([len(piece) for piece in pieces_V3SS])
    view_V = (image_K[:, None] * crops + np.arange(crops)).ravel()
    piece_V = np.searchsorted(ends, view_V, side="right")
    row_V = view_V - ends[piece_V]  # from the end of the piece
    return torch.stack([pieces_V3SS[piece][row] for piece, row in zip(piece_V, row_V, strict=True)])
