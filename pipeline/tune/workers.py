"""What Ray calls on workers, by names that cost those in between nothing.

The imports stand inside on purpose: Ray Train's controller and Ray Data's own actors unpickle these names, and torch,
which only those who train and decode need, takes a core some seconds in each of them.
"""

import gc
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from mole.views.preprocess import Preprocess


def train_loop_per_worker(config: Mapping[str, Any]) -> None:
    """Train; see `pipeline.tune.training.worker`."""
    from pipeline.tune.training.worker import train_loop_per_worker as work_here

    work_here(config)


def augmented_views(ids: Any, *, draws: Any, first: int, made: Any, seed: int) -> Any:
    """View a block of a training's draws; see `pipeline.tune.training.view_requests`."""
    from pipeline.tune.training.view_requests import augmented_views as delivered_here

    ids = {"id": ids["id"] + first * draws.batch_size}
    return delivered_here(ids, draws, made, seed=seed)


def clean_views(ids: Any, *, made: Any) -> Any:
    """View a block of samples as they are; see `pipeline.tune.training.view_requests`."""
    from pipeline.tune.training.view_requests import clean_views as plain_here

    return plain_here(ids, made)


def make_views(rows: pa.Table, *, made: Any, seed: int) -> Any:
    """View a block of what the trunk is to see; see `pipeline.tune.training.view_requests`."""
    from pipeline.tune.training.view_requests import make_view_rows

    return make_view_rows(rows, made, seed=seed)


def train_fold(task: Any, kept: Any, draws: Any, judged: Any, device: str) -> Any:
    """Train one fold in this process, and score what it held out; see `pipeline.tune.training.fold`."""
    from pipeline.tune.training.fold import train_fold as fold_here

    return fold_here(task, kept, draws, judged, device=device)


def view_samples(rows: pa.Table, *, deliveries: tuple[str, ...], spec: Preprocess) -> pa.Table:
    """View a block of samples in each delivery; see `pipeline.tune.judging.viewing`."""
    from pipeline.tune.judging.viewing import view_samples as viewed_here

    return viewed_here(rows, deliveries, spec)


class Trunk:
    """An actor that runs the frozen part of a detector; see `pipeline.tune.training.trunk`."""

    def __init__(self, tasks: Any, *, device: str, threads: int, batch_size: int) -> None:
        from pipeline.tune.training.trunk import TrunkRunner

        self.trunk = TrunkRunner(tasks, device=device, threads=threads, batch_size=batch_size)
        gc.freeze()  # what lives as long as this process is not walked over again

    def __call__(self, rows: Any) -> Any:
        """Run a block through it."""
        return self.trunk(rows)


class Scorer:
    """An actor that holds a detector; see `pipeline.tune.judging.scorer`."""

    def __init__(
        self, folder: str, digest: str, spec: Preprocess, *, device: str, threads: int, batch_size: int
    ) -> None:
        from pipeline.tune.judging.scorer import ViewScorer

        self.scorer = ViewScorer(folder, digest, spec, device=device, threads=threads, batch_size=batch_size)
        gc.freeze()  # what lives as long as this process is not walked over again

    def __call__(self, rows: pa.Table) -> Any:
        """Score a table of `VIEWED`."""
        return self.scorer(rows)
