"""Score: a pool of actors, each with the detector loaded once; a batch of views in, logits and gates out."""

import numpy as np
import pyarrow as pa
import torch

from mole.checkpoint import load_checkpoint
from mole.inference import Scorer
from mole.preprocess import Preprocess
from pipeline import registry
from pipeline.records import CARRIED, SCORED, with_carried


class ScoreActor:
    """One loaded detector; a batch is one forward pass over the rows that have pixels.

    Args:
        model: what `--model` named.
        digest: the version that the run was planned for.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
    """

    def __init__(self, model: str, digest: str, *, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        loaded = load_checkpoint(registry.locate(model, digest))
        self.spec = loaded.preprocess
        self.scorer = Scorer(loaded, device)

    def __call__(self, prepared: pa.Table) -> pa.Table:
        """Score a batch.

        Args:
            prepared: a table of `PREPARED`.

        Returns:
            A table of `SCORED`, row for row; logit and gates null where there are no pixels.

        Raises:
            ModelError: a logit is not finite.
        """
        column = prepared["pixels"].combine_chunks()
        scored = column.is_valid().to_numpy(zero_copy_only=False)
        logit = np.zeros(len(column), np.float32)
        gates = np.zeros((len(column), 0), np.float32)
        if scored.any():
            scores = self.scorer.score(stack(column.drop_null(), self.spec), crops=self.spec.crops)
            logit[scored] = scores.logit
            gates = np.zeros((len(column), scores.gates.shape[1]), np.float32)
            gates[scored] = scores.gates
        rest = prepared.drop_columns(["pixels"])
        carried = tuple(field.name for field in rest.schema.field(CARRIED).type) if CARRIED in rest.column_names else ()
        schema = with_carried(SCORED, carried)
        columns = {name: rest[name] for name in rest.column_names}
        columns["logit"] = pa.array(logit, pa.float32(), mask=~scored)
        columns["gates"] = pa.array(
            [row if ok else None for row, ok in zip(gates, scored, strict=True)], schema.field("gates").type
        )
        return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema)


def stack(pixels: pa.LargeBinaryArray, spec: Preprocess) -> torch.Tensor:
    """See the views of several images as one batch, without a copy where Arrow holds them in one piece.

    Args:
        pixels: the views of an image as bytes, no nulls.
        spec: how many and how large they are.

    Returns:
        uint8 (B x C, 3, S, S), the C views of an image one after the other.
    """
    _, offsets, values = pixels.buffers()
    start = np.frombuffer(offsets, np.int64, count=1, offset=8 * pixels.offset)[0]
    flat = np.frombuffer(values, np.uint8, count=len(pixels) * spec.bytes, offset=int(start))
    return torch.from_numpy(flat.reshape(-1, 3, spec.size, spec.size))
