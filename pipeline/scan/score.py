"""Score: a pool of actors, each with the detector loaded once; a batch of views in, logits and gates out."""

import numpy as np
import pyarrow as pa
import torch

from mole.checkpoint import load_checkpoint
from mole.inference import Scorer
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
        self.size = loaded.preprocess.size
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
            scores = self.scorer.score(stack(column.drop_null(), self.size))
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


def stack(pixels: pa.LargeBinaryArray, size: int) -> torch.Tensor:
    """See the bytes of several views as one batch, without a copy where Arrow holds them in one piece.

    Args:
        pixels: views as bytes, no nulls.
        size: S.

    Returns:
        uint8 (B, 3, S, S).
    """
    _, offsets, values = pixels.buffers()
    start = np.frombuffer(offsets, np.int64, count=1, offset=8 * pixels.offset)[0]
    flat = np.frombuffer(values, np.uint8, count=len(pixels) * 3 * size * size, offset=int(start))
    return torch.from_numpy(flat.reshape(len(pixels), 3, size, size))
