"""Ray executor: read tasks as Ray Data schedules them, scoring actors that outlive its executions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import ray
import ray.data
from ray.data import Dataset

from pipeline.runtime import cluster
from pipeline.runtime.blocks import iterate_blocks
from pipeline.scan.budget import Claimable, Quota
from pipeline.scan.datasource import ImageSource
from pipeline.scan.executor import KeptScorers, Scorers
from pipeline.scan.models import ModelRef
from pipeline.scan.monitor import STARTING
from pipeline.scan.ray_connection import connected
from pipeline.scan.read_function import ReadFunction
from pipeline.scan.scoring_actors import scoring_actors
from pipeline.scan.settings import DetectorSettings
from pipeline.scan.table.deduplicator import Claims, Deduplicator
from pipeline.storage.memory import Snapshot, snapshot
from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay

ROW_BYTES = 128
"""A lower bound of the bytes of a row, so that a block has no more rows than a file of the table."""


@dataclass(frozen=True)
class RemoteQuota:
    """A quota in an actor; see `pipeline.scan.budget.Quota`."""

    actor: Any

    def left(self) -> int:
        """Return how many images are left."""
        return int(ray.get(self.actor.left.remote()))

    def claim(self, images: int) -> int:
        """Take up to so many images, and return how many."""
        return int(ray.get(self.actor.claim.remote(images)))


@dataclass(frozen=True)
class RemoteClaims:
    """A deduplicator in an actor; see `pipeline.scan.table.deduplicator`."""

    actor: Any

    def claim(self, contents: Sequence[bytes], places: Sequence[str]) -> list[bool]:
        """Claim the content of some images."""
        answer: list[bool] = ray.get(self.actor.claim.remote(list(contents), list(places)))
        return answer


@dataclass(frozen=True)
class RayVerdicts:
    """Verdicts that Ray Data makes.

    Attributes:
        dataset: of tables as `conclude` writes them.
    """

    dataset: Dataset

    def write(self, function: Callable[[pa.Table], pa.Table], rows: int) -> Iterator[pa.Table]:
        """Apply a function to each `rows` of them on workers; yields its results."""
        parts = self.dataset.map_batches(function, batch_size=rows, batch_format="pyarrow", **cluster.write_resources())
        yield from iterate_blocks(parts)


class RayExecutor:
    """Runs tasks on a connected cluster; see `pipeline.scan.executor`.

    Args:
        layout: of the scorers on the cluster.
        memory: the content of `memory://`, which workers cannot see.
    """

    isolated = False
    counter: ProgressCounter | None = None

    def __init__(self, layout: cluster.Layout, memory: Snapshot) -> None:
        self.layout, self.memory = layout, memory
        self.cores, self.rows_per_file = layout.cores, layout.rows_per_file
        self._scorers = KeptScorers(lambda models, reporter: scoring_actors(models, layout, reporter))

    def __enter__(self) -> Self:
        """Set the size of Ray Data's blocks."""
        self.layout.size_blocks(self.rows_per_file * ROW_BYTES)
        return self

    def __exit__(self, *error: object) -> None:
        """End the scoring actors."""
        self._scorers.close()

    def rows_per_call(self, image_bytes: int) -> int:
        """Return the number of images per scorer call, given the bytes of an image's views."""
        return self.layout.rows_per_call(image_bytes)

    def scorers(self, models: Sequence[ModelRef], reporter: ProgressReporter | None) -> Scorers:
        """Return the scoring actors; they are started anew only for other models."""
        return self._scorers.of(models, reporter)

    @contextmanager
    def claims(self) -> Iterator[Claims]:
        """Make a deduplicator that all tasks share."""
        with _actor(Deduplicator) as actor:
            yield RemoteClaims(actor)

    @contextmanager
    def quota(self, images: int) -> Iterator[Claimable]:
        """Make a quota of images that all tasks share."""
        with _actor(Quota, images) as actor:
            yield RemoteQuota(actor)

    def run(self, tasks: Sequence[ReadFunction]) -> RayVerdicts:
        """Run tasks that yield verdicts, once these are written."""
        source = ImageSource(tasks, self.memory)
        return RayVerdicts(ray.data.read_datasource(source, override_num_blocks=len(tasks)))


@contextmanager
def _actor(kind: type, *arguments: object) -> Iterator[Any]:
    """Start an actor that reserves no core, and end it."""
    remote: Any = ray.remote(num_cpus=0)(kind)
    actor = remote.remote(*arguments)
    try:
        yield actor
    finally:
        ray.kill(actor)


@contextmanager
def on_ray(settings: DetectorSettings, sources: list[str], progress: ProgressDisplay) -> Iterator[RayExecutor]:
    """Connect to Ray, and lay out the scorers.

    Args:
        settings: which cluster, and how the detectors run.
        sources: what workers read.
        progress: shows that Ray starts.

    Raises:
        SettingsError: there is no such cluster, or it lacks what the settings ask for.
        MoleError: an error of a worker, as it was raised there.
    """
    progress.enter(STARTING)
    with connected(settings) as layout, RayExecutor(layout, snapshot(sources)) as executor:
        yield executor
