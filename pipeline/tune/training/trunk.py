"""The trunk: every view that is wanted goes through the frozen part of the detector once, and what comes is kept.

Samples are decoded, delivered and viewed on CPU tasks, each once for all the views of it that a block wants; an actor
holds the trunk and writes what it gives. What the folder holds already is left out, so a run that was killed goes on
where it was.

Legend: N views, S side of a view.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, Dataset

from mole.checkpoint import tower_of
from mole.config import describe
from mole.detector import MoLE
from mole.tower import normalise
from pipeline import cluster, registry
from pipeline.telemetry import Ticker
from pipeline.tune import workers
from pipeline.tune.training.delivery import WANTED, Want
from pipeline.tune.training.draws import Made
from pipeline.tune.training.task import Task
from pipeline.tune.training.tokens import FEATURE, TOKEN, Tokens, keep

BLOCK = 32
"""Views of a block: some 10 MB of tokens."""


def fill(folder: Path, wanted: dict[str, Want], made: Made, task: Task, *, device: str) -> Tokens:
    """Run the trunk over all views that a folder lacks, on a Ray that is connected already.

    Args:
        folder: of one trunk; every machine of the cluster sees it.
        wanted: views by their keys.
        made: what their places mean, and how they become views.
        task: which trunk.
        device: where it runs: `auto`, `cpu` or `cuda`.

    Raises:
        SettingsError: an image cannot be read.
        ModelError: the tower cannot be used.
    """
    found = Tokens(folder)
    absent = {key: want for key, want in wanted.items() if key not in found}
    if not absent:
        return found
    layout = cluster.lay_out(device, actors=None, batch_size=None, rows_per_file=None)
    layout.size_blocks(made.spec.bytes)
    in_order = sorted(absent, key=lambda key: absent[key])
    columns = [list(column) for column in zip(*(absent[key] for key in in_order), strict=True)]
    rows = pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, WANTED.types, strict=True)], schema=WANTED
    )
    rows = rows.append_column("key", pa.array(in_order))
    blocks = -(-len(rows) // BLOCK)
    views: Dataset = (
        ray.data.from_arrow(rows)
        .repartition(blocks)
        .map_batches(partial(workers.seen, made=made, seed=task.seed), batch_size=None, batch_format="pyarrow")
    )
    kept: Dataset = views.map_batches(
        workers.Trunk,
        fn_constructor_args=(task, str(folder)),
        fn_constructor_kwargs={"device": layout.device, "threads": layout.threads, "batch_size": layout.batch_size},
        batch_size=None,
        batch_format="numpy",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=2),
        **layout.resources,
    )
    ticker = Ticker.shown()
    with ticker.during("running the trunk", len(rows), "views"):
        for part in kept.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            ticker.advance(int(part["kept"].sum()))
    return Tokens(folder)


def keeps_tokens(task: Task) -> bool:
    """Tell whether what the trunk gave is needed; without experts a head that was fitted has no more to learn."""
    return task.detector.adapts


class TrunkOfOne:
    """The frozen part of a detector, which writes what it gives.

    Args:
        task: which.
        folder: where blocks go.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        batch_size: views of a forward pass; a shorter one is filled up, so that the same view gives the same numbers
            in whatever company.
    """

    def __init__(self, task: Task, folder: str, *, device: str, threads: int, batch_size: int) -> None:
        torch.set_num_threads(threads)
        self.task, self.folder, self.device, self.batch_size = task, Path(folder), device, batch_size
        self.detector = plain_detector(task).to(device)
        self.dtype = torch.bfloat16 if task.bfloat16 else torch.float32

    def __call__(self, rows: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.int64]]:
        """Run the trunk over a block, `pixels` uint8 (N, 3, S, S) and `key`; tell how many views were kept."""
        tokens, features = [], []
        pixels_N3SS = torch.from_numpy(np.array(rows["pixels"]))
        for part_B3SS in torch.split(pixels_N3SS, self.batch_size):
            count = len(part_B3SS)
            filled = torch.cat([part_B3SS, part_B3SS[:1].expand(self.batch_size - count, -1, -1, -1)])
            with torch.inference_mode():
                view_B3SS = normalise(filled.to(self.device), self.task.spec).to(self.dtype)
                token_BTD = self.detector.trunk(view_B3SS)
                features.append(self.detector.feature(token_BTD)[0][:count].cpu())
                tokens.append(token_BTD[:count].cpu() if keeps_tokens(self.task) else None)
        made = {FEATURE: torch.cat(features)}
        if keeps_tokens(self.task):
            made[TOKEN] = torch.cat([part for part in tokens if part is not None])
        keep(self.folder, [str(key) for key in rows["key"]], made)
        return {"kept": np.array([len(pixels_N3SS)])}


def plain_detector(task: Task) -> MoLE:
    """Build the detector of a task with fresh experts, on the CPU, as every process builds it.

    Raises:
        ModelError: the base cannot be used.
    """
    torch.manual_seed(task.seed)
    tower = tower_of(describe(registry.locate(task.base, task.digest)))
    return MoLE(tower.to(torch.bfloat16 if task.bfloat16 else torch.float32), task.detector)
