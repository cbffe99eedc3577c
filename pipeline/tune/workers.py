"""Worker entry points: functions and actors that Ray calls by name, with their imports deferred.

The imports are inside the functions on purpose: Ray Train's controller and Ray Data's own actors unpickle these names,
and importing torch, which only training and decoding need, would take each of them several seconds of a core.
"""

import gc
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from mole.views.preprocess import Preprocess


def train_loop_per_worker(config: Mapping[str, Any]) -> None:
    """Train; see `pipeline.tune.training.worker`."""
    from pipeline.tune.training.worker import train_loop_per_worker as run

    run(config)


def augmented_views(ids: Any, *, plan: Any, first: int, dataset: Any, seed: int) -> Any:
    """Make the augmented views of a block of draws; see `pipeline.tune.training.view_requests`."""
    from pipeline.tune.training.view_requests import augmented_views as run

    ids = {"id": ids["id"] + first * plan.batch_size}
    return run(ids, plan, dataset, seed=seed)


def clean_views(ids: Any, *, dataset: Any) -> Any:
    """Make views of a block of samples without augmentation; see `pipeline.tune.training.view_requests`."""
    from pipeline.tune.training.view_requests import clean_views as run

    return run(ids, dataset)


def make_views(rows: pa.Table, *, dataset: Any, seed: int) -> Any:
    """Make the views of a block of requests; see `pipeline.tune.training.view_requests`."""
    from pipeline.tune.training.view_requests import make_view_rows as run

    return run(rows, dataset, seed=seed)


def train_fold(task: Any, cached: Any, plan: Any, test_views: Any, device: str) -> Any:
    """Train one fold in this process and score what it held out; see `pipeline.tune.training.fold`."""
    from pipeline.tune.training.fold import train_fold as run

    return run(task, cached, plan, test_views, device=device)


def view_samples(rows: pa.Table, *, perturbations: tuple[str, ...], spec: Preprocess) -> pa.Table:
    """Make the views of a block of samples under each perturbation; see `pipeline.tune.evaluation.perturbed_views`."""
    from pipeline.tune.evaluation.perturbed_views import view_samples as run

    return run(rows, perturbations, spec)


class Trunk:
    """An actor that runs the frozen part of a detector; see `pipeline.tune.training.trunk`."""

    def __init__(self, tasks: Any, *, device: str, threads: int, batch_size: int) -> None:
        from pipeline.tune.training.trunk import TrunkRunner

        self.trunk = TrunkRunner(tasks, device=device, threads=threads, batch_size=batch_size)
        gc.freeze()  # objects that live as long as the process need no garbage collection

    def __call__(self, rows: Any) -> Any:
        """Run a block through it."""
        return self.trunk(rows)


class Scorer:
    """An actor that holds a detector; see `pipeline.tune.evaluation.view_scorer`."""

    def __init__(
        self, folder: str, digest: str, spec: Preprocess, *, device: str, threads: int, batch_size: int
    ) -> None:
        from pipeline.tune.evaluation.view_scorer import ViewScorer

        self.scorer = ViewScorer(folder, digest, spec, device=device, threads=threads, batch_size=batch_size)
        gc.freeze()  # objects that live as long as the process need no garbage collection

    def __call__(self, rows: pa.Table) -> Any:
        """Score a table of `VIEWED`."""
        return self.scorer(rows)
