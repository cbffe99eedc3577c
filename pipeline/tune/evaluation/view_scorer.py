"""Scorer: an actor's detector, applied to the views of samples that `perturbed_views` makes.

Shapes: V views, S side of the view.
"""

import numpy as np
import pyarrow as pa
import torch

from mole.checkpoint import load_checkpoint
from mole.inference.scoring import SingleModelScorer
from mole.views.preprocess import Preprocess
from pipeline import registry
from pipeline.records import GATES

PLACE = ("place", pa.int64())
FACTS = (
    PLACE,
    ("delivery", pa.string()),
    ("digest", pa.string()),
    ("status", pa.string()),
    ("detail", pa.string()),
)
SCORED = pa.schema([*FACTS, ("logit", pa.float32()), ("gates", GATES)])
"""A sample scored under one perturbation (`delivery`); `place` is the index of the sample, `digest` that of its bytes,
null if they could not be read."""


class ViewScorer:
    """A loaded detector.

    Args:
        folder: of the checkpoint, a path or URL.
        digest: of the checkpoint.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        batch_size: images per forward pass.
        spec: number and size of the views of an image.
    """

    def __init__(
        self, folder: str, digest: str, spec: Preprocess, *, device: str, threads: int, batch_size: int
    ) -> None:
        torch.set_num_threads(threads)
        self.spec = spec
        self.scorer = SingleModelScorer(load_checkpoint(registry.locate(folder, digest)), device, batch_size=batch_size)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score a table of `perturbed_views.VIEWED`.

        Returns:
            A table of `SCORED`, row for row.

        Raises:
            ModelError: a logit is not finite.
        """
        sound = rows["pixels"].is_valid().to_numpy()
        logits: list[float | None] = [None] * len(rows)
        gates: list[list[float] | None] = [None] * len(rows)
        if sound.any():
            views = [np.frombuffer(data, np.uint8) for data in rows["pixels"].drop_null().to_pylist()]
            pixels_V3SS = torch.from_numpy(np.stack(views).reshape(-1, 3, self.spec.size, self.spec.size))
            scores = self.scorer.score(pixels_V3SS, crops=self.spec.crops)
            for number, place in enumerate(np.flatnonzero(sound)):
                logits[place], gates[place] = float(scores.logit[number]), scores.gates[number].tolist()
        columns = [rows[name] for name in SCORED.names[: len(FACTS)]]
        return pa.Table.from_arrays([*columns, pa.array(logits, pa.float32()), pa.array(gates, GATES)], schema=SCORED)
