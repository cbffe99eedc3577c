"""Filling the token cache: every requested view that is not cached yet is run once through the frozen trunk.

CPU tasks decode, perturb and crop samples, each sample once for all its views in a block; an actor holds the trunk and
writes its output. Views that are cached already are skipped, so a killed run continues where it stopped.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, Dataset

from pipeline.runtime import cluster
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune import workers
from pipeline.tune.training.sampling import DatasetSpec
from pipeline.tune.training.task import Task
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.view_requests import REQUEST_SCHEMA, ViewRequest

BLOCK_VIEWS = 32
"""Views per block: about 10 MB of tokens."""


def fill_cache(
    tasks: Mapping[str, Task], requested: Mapping[str, ViewRequest], dataset: DatasetSpec, *, device: str
) -> None:
    """Run the tower once over all views that are missing from any of the cache folders; Ray must be connected.

    Args:
        tasks: by cache folder, the task whose trunk fills it; all with the same base, view, dtype and seed. Every
            machine must be able to reach the folders.
        requested: views by their keys.
        dataset: samples and preprocessing.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        SettingsError: an image cannot be read.
        ModelError: the tower cannot be used.
    """
    caches = [TokenCache(Path(folder)) for folder in tasks]
    absent = {key: request for key, request in requested.items() if any(key not in cache for cache in caches)}
    if not absent:
        return
    make = partial(workers.make_views, dataset=dataset, seed=next(iter(tasks.values())).seed)
    layout = cluster.plan_layout(device, actors=None, batch_size=None, rows_per_file=None)
    layout.size_blocks(dataset.spec.bytes)
    in_order = sorted(absent, key=lambda key: absent[key])
    columns = [list(column) for column in zip(*(absent[key] for key in in_order), strict=True)]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, REQUEST_SCHEMA.types, strict=True)]
    rows = pa.Table.from_arrays(arrays, schema=REQUEST_SCHEMA).append_column("key", pa.array(in_order))
    blocks = -(-len(rows) // BLOCK_VIEWS)
    views: Dataset = (
        ray.data.from_arrow(rows).repartition(blocks).map_batches(make, batch_size=None, batch_format="pyarrow")
    )
    written: Dataset = views.map_batches(
        workers.Trunk,
        fn_constructor_args=(dict(tasks),),
        fn_constructor_kwargs={
            "device": layout.device,
            "threads": layout.threads,
            "batch_size": min(layout.batch_size, BLOCK_VIEWS),  # a larger one would be padded
        },
        batch_size=BLOCK_VIEWS,  # Ray Data wants a number where a GPU is requested
        batch_format="numpy",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=max(2, layout.cores)),
        **layout.resources,
    )
    progress = ProgressDisplay.shown()
    with progress.during("running the trunk", len(rows), "views"):
        for part in written.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            progress.advance(int(part["cached"].sum()))
