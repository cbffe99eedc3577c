"""Filling: every view that is wanted and not kept yet goes through the frozen trunk once.

Samples are decoded, delivered and viewed on CPU tasks, each once for all the views of it that a block wants; an actor
holds the trunk and writes what it gives. What the folder holds already is left out, so a run that was killed goes on
where it was.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, Dataset

from pipeline.runtime import cluster
from pipeline.telemetry.terminal import Ticker
from pipeline.tune import workers
from pipeline.tune.training.sampling import DatasetSpec
from pipeline.tune.training.task import Task
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.view_requests import REQUEST_SCHEMA, ViewRequest

BLOCK_VIEWS = 32
"""Views of a block: some 10 MB of tokens."""


def fill_cache(tasks: Mapping[str, Task], wanted: Mapping[str, ViewRequest], made: DatasetSpec, *, device: str) -> None:
    """Run the tower once over all views that any of some folders lacks, on a Ray that is connected already.

    Args:
        tasks: whose trunks, by the folders of each; of one base, view, dtype and seed. Every machine sees the folders.
        wanted: views by their keys.
        made: what their places mean, and how they become views.
        device: where it runs: `auto`, `cpu` or `cuda`.

    Raises:
        SettingsError: an image cannot be read.
        ModelError: the tower cannot be used.
    """
    found = [TokenCache(Path(folder)) for folder in tasks]
    absent = {key: want for key, want in wanted.items() if any(key not in one for one in found)}
    if not absent:
        return
    make = partial(workers.make_views, made=made, seed=next(iter(tasks.values())).seed)
    layout = cluster.lay_out(device, actors=None, batch_size=None, rows_per_file=None)
    layout.size_blocks(made.spec.bytes)
    in_order = sorted(absent, key=lambda key: absent[key])
    columns = [list(column) for column in zip(*(absent[key] for key in in_order), strict=True)]
    rows = pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, REQUEST_SCHEMA.types, strict=True)],
        schema=REQUEST_SCHEMA,
    )
    rows = rows.append_column("key", pa.array(in_order))
    blocks = -(-len(rows) // BLOCK_VIEWS)
    views: Dataset = (
        ray.data.from_arrow(rows).repartition(blocks).map_batches(make, batch_size=None, batch_format="pyarrow")
    )
    kept: Dataset = views.map_batches(
        workers.Trunk,
        fn_constructor_args=(dict(tasks),),
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
