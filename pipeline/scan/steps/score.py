"""Score: the class of a scoring actor: loads its detectors once, then maps views to logits and gate weights."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mole.checkpoint import Checkpoint, load_checkpoint
from mole.errors import ModelError
from mole.inference.scoring import Scores, SharedBackboneScorer
from mole.views.preprocess import Preprocess
from pipeline import registry
from pipeline.records import GATES, MODEL, SCORED, with_optional_columns
from pipeline.runtime.allocator import keep_freed_memory


class ScoreActor:
    """Loaded detectors that share a backbone; scores the rows that have pixels, batch by batch.

    Args:
        models: location and digest of each detector; the digest is the version that the run was planned for.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        batch_size: images of a forward pass.

    Raises:
        ModelError: a checkpoint cannot be used, or is another than its digest says.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, str]],
        *,
        device: str,
        threads: int,
        batch_size: int,
    ) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        loaded = [load_version(model, digest) for model, digest in models]
        self.digests = [digest for _, digest in models]
        self.spec = loaded[0].preprocess
        self.scorer = SharedBackboneScorer(loaded, device, batch_size=batch_size)

    def __call__(self, prepared: pa.Table, on_scored: Callable[[int], None] | None = None) -> pa.Table:
        """Score some images.

        Args:
            prepared: a table of `PREPARED`.
            on_scored: called with the number of images of each forward pass.

        Returns:
            A table of `SCORED`: all images for the first model, then for the next. Each column is one chunk, since a
            chunk costs Ray as much as a hundred rows. Logit and gates are null where there are no pixels.

        Raises:
            ModelError: a logit is not finite.
        """
        column = prepared["pixels"]
        scored = column.is_valid().to_numpy()
        pieces = [stack(chunk.drop_null(), self.spec) for chunk in column.chunks]
        scores = self.scorer.score(pieces, crops=self.spec.crops, on_batch=on_scored) if scored.any() else []
        facts = prepared.drop_columns(["pixels"]).combine_chunks()
        schema = with_optional_columns(SCORED, prepared)
        tables = []
        for number, digest in enumerate(self.digests):
            new_columns = self._columns(scored, scores[number] if scores else None)
            for name in ("logit", "gates"):
                if name in facts.column_names:  # an indexed verdict is not scored again
                    new_columns[name] = pc.coalesce(facts[name].combine_chunks(), new_columns[name])
            columns = {name: facts[name] for name in facts.column_names} | new_columns
            columns[MODEL] = pa.repeat(pa.scalar(digest, pa.string()), len(column))
            tables.append(pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema))
        return pa.concat_tables(tables).combine_chunks()

    def _columns(self, scored: npt.NDArray[np.bool_], scores: Scores | None) -> dict[str, pa.Array]:
        """Make columns of shape (rows,) with scores where `scored`, bool (rows,), is true, and null elsewhere."""
        logit = np.zeros(len(scored), np.float32)
        gates: list[npt.NDArray[np.float32] | None] = [None] * len(scored)
        if scores is not None:
            logit[scored] = scores.logit
            for row, weights in zip(np.flatnonzero(scored), scores.gates, strict=True):
                gates[row] = weights
        return {"logit": pa.array(logit, pa.float32(), mask=~scored), "gates": pa.array(gates, GATES)}


def load_version(model: str, digest: str) -> Checkpoint:
    """Load the checkpoint that a run was planned for; its rows would bear that digest whatever lies at the location.

    Args:
        model: its location, which another machine may have another checkpoint at.
        digest: its version.

    Raises:
        ModelError: the checkpoint cannot be used, or is another than the digest says.
    """
    found = load_checkpoint(registry.locate(model, digest))
    if found.description.digest != digest:
        raise ModelError(
            f"the model {model!r} is {digest} where this run was started, and {found.description.digest} where it is "
            "loaded; give every machine the same checkpoint, leave it as it is during a run, and start the run again"
        )
    return found


def stack(pixels: pa.LargeBinaryArray, spec: Preprocess) -> torch.Tensor:
    """View a column of pixels as one batch, without a copy.

    Args:
        pixels: the views of each image as bytes, no nulls.
        spec: the number of views and their size.

    Returns:
        uint8 (B x C, 3, S, S), the C views of an image next to each other.
    """
    if not len(pixels):
        return torch.empty((0, 3, spec.size, spec.size), dtype=torch.uint8)
    _, offsets, values = pixels.buffers()
    start = np.frombuffer(offsets, np.int64, count=1, offset=8 * pixels.offset)[0]
    flat = np.frombuffer(values, np.uint8, count=len(pixels) * spec.bytes, offset=int(start))
    return torch.from_numpy(flat.reshape(-1, 3, spec.size, spec.size))
