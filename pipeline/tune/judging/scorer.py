"""The scorer: what a worker does with a block of samples, each decoded once, viewed in every delivery, and scored.

Shapes: B rows of a block, S side of the view.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa
import torch

from mole.checkpoint import load_checkpoint
from mole.inference import Scorer
from mole.preprocess import Preprocess
from mole.view import views
from pipeline import registry, storage
from pipeline.decode import Fault
from pipeline.records import GATES, Status
from pipeline.tune.data.samples import SCHEMA, Sample, from_table, open_sample
from pipeline.tune.judging.perturbation import perturbation

PLACE = ("place", pa.int64())
FACTS = (PLACE, ("delivery", pa.string()), ("status", pa.string()), ("detail", pa.string()))
VIEWED = pa.schema([*FACTS, ("pixels", pa.large_binary())])
"""A sample in one delivery; `pixels` are its views, uint8 (C, 3, S, S), null where `status` is not `ok`."""
SCORED = pa.schema([*FACTS, ("logit", pa.float32()), ("gates", GATES)])
"""A sample in one delivery as the detector saw it; `place` is where it stands among the samples."""


def viewed(rows: pa.Table, deliveries: Sequence[str], spec: Preprocess) -> pa.Table:
    """View each sample of a block in each delivery.

    Args:
        rows: samples with their places.
        deliveries: names of what is done to each first.
        spec: which view.

    Returns:
        A table of `VIEWED`, as many rows a sample as deliveries.
    """
    acts = [(name, perturbation(name)) for name in deliveries]
    made = []
    samples = from_table(rows.select(SCHEMA.names))
    for place, sample in zip(rows[PLACE[0]].to_pylist(), samples, strict=True):
        picture = opened(sample)
        for name, act in acts:
            row = {"place": place, "delivery": name, "status": str(Status.OK), "detail": None, "pixels": None}
            if isinstance(picture, Fault):
                row |= {"status": str(picture.status), "detail": picture.detail}
            else:
                row["pixels"] = views(act(picture, crc32(f"{sample.uri}\0{name}".encode())), spec).numpy().tobytes()
            made.append(row)
    return pa.Table.from_pylist(made, VIEWED)


def opened(sample: Sample) -> torch.Tensor | Fault:
    """Decode a sample, uint8 (3, H, W), or name what keeps it from being a picture, its store too."""
    try:
        return open_sample(sample)
    except storage.STORE_FAULTS as reason:
        status, detail = storage.fault_of(reason)
        return Fault(status, detail)


class ViewScorer:
    """One loaded detector.

    Args:
        folder: of the checkpoint, a path or URL.
        digest: of the checkpoint.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        spec: how many views an image has, and how large they are.
    """

    def __init__(self, folder: str, digest: str, device: str, threads: int, spec: Preprocess) -> None:
        torch.set_num_threads(threads)
        self.spec = spec
        self.scorer = Scorer(load_checkpoint(registry.locate(folder, digest)), device)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score a table of `VIEWED`.

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
