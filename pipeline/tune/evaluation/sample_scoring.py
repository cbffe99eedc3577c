"""Scoring: score every sample under every perturbation on Ray; an unreadable sample is a row with its status.

Shapes: B rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, Dataset

from mole.config import describe
from mole.errors import CompletenessError
from mole.views.preprocess import Preprocess
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune import workers
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.evaluation.perturbation import perturbation
from pipeline.tune.evaluation.view_scorer import PLACE, SCORED


@dataclass(frozen=True)
class Runner:
    """Where the detector runs.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        actors: number of scoring actors; None for one per GPU, or one per machine.
        batch_size: views per forward pass; None for the cluster's default.
    """

    device: str = "auto"
    actors: int | None = None
    batch_size: int | None = None


DEFAULT_RUNNER = Runner()


def score(
    samples: Sequence[Sample],
    model: str,
    perturbations: Sequence[str],
    *,
    spec: Preprocess | None = None,
    runner: Runner = DEFAULT_RUNNER,
) -> pa.Table:
    """Score samples; Ray must be connected.

    Args:
        samples: to be scored.
        model: a checkpoint that every machine of the cluster can read.
        perturbations: names of perturbations.
        spec: preprocessing; None for the checkpoint's.
        runner: device, actors and batch size.

    Returns:
        A table of `SCORED`, ordered by sample and then perturbation: one row for each sample and perturbation.

    Raises:
        SettingsError: there is no such perturbation.
        ModelError: the checkpoint cannot be used, or a logit is not finite.
        CompletenessError: a row was lost.
    """
    for name in perturbations:
        perturbation(name)
    described = describe(registry.locate(model))
    chosen = spec or described.preprocess
    layout = cluster.plan_layout(runner.device, actors=runner.actors, batch_size=runner.batch_size, rows_per_file=None)
    layout.size_blocks(layout.rows_per_call(chosen.bytes) * chosen.bytes)
    rows = to_table(samples).append_column(PLACE[0], pa.array(range(len(samples)), PLACE[1]))
    blocks = max(1, -(-len(samples) * len(perturbations) // layout.batch_size))
    images: Dataset = ray.data.from_arrow(rows).repartition(min(blocks, max(1, len(samples))))
    scored = _score_on_ray(images, registry.absolute(model), described.digest, perturbations, chosen, layout)
    parts, progress = [SCORED.empty_table()], ProgressDisplay.shown()
    with progress.during("scoring", len(samples) * len(perturbations), "views"):
        done: Iterable[pa.Table] = scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for part in done:
            parts.append(part)
            progress.advance(len(part), part["logit"].null_count)
    return in_order(pa.concat_tables(parts), len(samples), perturbations)


def _score_on_ray(
    images: Dataset, model: str, digest: str, perturbations: Sequence[str], spec: Preprocess, layout: cluster.Layout
) -> Dataset:
    """Make the views of samples under each perturbation, and score them in a pool of actors; rows of `SCORED`."""
    views = images.map_batches(
        partial(workers.view_samples, perturbations=tuple(perturbations), spec=spec),
        batch_size=None,
        batch_format="pyarrow",
    )
    scored: Dataset = views.map_batches(
        workers.Scorer,
        fn_constructor_args=(model, digest, spec),
        fn_constructor_kwargs={"device": layout.device, "threads": layout.threads, "batch_size": layout.batch_size},
        batch_size=layout.batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=2),
        **layout.resources,
    )
    return scored


def in_order(scored: pa.Table, samples: int, perturbations: Sequence[str]) -> pa.Table:
    """Sort rows by sample and perturbation.

    Args:
        scored: a table of `SCORED`.
        samples: number of samples.
        perturbations: names of the perturbations, in order.

    Raises:
        CompletenessError: a sample has no row for a perturbation, or two.
    """
    rank = {name: number for number, name in enumerate(perturbations)}
    delivery_B = np.array([rank[name] for name in scored["delivery"].to_pylist()], np.int64)
    key_B = scored["place"].to_numpy() * len(perturbations) + delivery_B
    order_B = np.argsort(key_B, kind="stable")
    if not np.array_equal(key_B[order_B], np.arange(samples * len(perturbations))):
        raise CompletenessError(
            f"{samples} samples under {len(perturbations)} perturbations gave {len(scored)} rows, not one each"
        )
    return scored.take(order_B)
