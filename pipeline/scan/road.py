"""The road of a row, from the reading of its image to its place in the verdict table; scan and rescan take the same."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, DataContext, Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata

from mole.config import Description
from pipeline.records import MODEL
from pipeline.runtime import cluster
from pipeline.scan.budget import Scorer, read_until
from pipeline.scan.gauges import Gauges, shown
from pipeline.scan.settings import DetectorSettings
from pipeline.scan.table import copies
from pipeline.scan.table.claims import Claims
from pipeline.scan.table.known import FOLDER, write
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.shelf import Shelf
from pipeline.scan.watch import LOADING, STARTING, Watch, watched
from pipeline.scan.workers import conclude, prepare
from pipeline.storage import storage
from pipeline.storage.memory import Snapshot, mount, snapshot
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay

Reading = Callable[[], Iterator[pa.Table]]
"""Some seconds of reading: tables of `FETCHED`."""


class ImageSource(Datasource):
    """The door through which Ray Data takes images: one read task a reading."""

    def __init__(self, readings: Sequence[Reading], memory: Snapshot) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.readings = readings
        self.memory = memory

    def estimate_inmemory_data_size(self) -> int | None:
        """Give no estimate: what a shard holds is known once it is read."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """Make a task for each reading; `parallelism` is their number."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(partial(_read_remotely, reading, self.memory), unknown) for reading in self.readings]


def _read_remotely(reading: Reading, memory: Snapshot) -> Iterator[pa.Table]:
    mount(memory)
    return reading()


def _read_images(reading: Reading, until: float | None) -> Iterator[pa.Table]:
    """Read images until a time has come, and tell Prometheus how long it took."""
    return metrics.read(read_until(reading, until))


@dataclass(frozen=True)
class Untold:
    """The reading of a unit of which nobody knows how many images it holds until it is read.

    Attributes:
        unit: its name.
        reading: its images.
        reporter: is told how many there were, where somebody watches.
    """

    unit: str
    reading: Reading
    reporter: ProgressReporter | None = None

    def __call__(self) -> Iterator[pa.Table]:
        """Read the unit."""
        images = 0
        for table in self.reading():
            images += table.num_rows
            yield table
        if self.reporter is not None:
            self.reporter.ended(self.unit, images)


@dataclass(frozen=True)
class Judge:
    """A detector that judges: its checkpoint's place, and what its files say of it."""

    model: str
    described: Description


@dataclass(frozen=True)
class Road:
    """What every wave of a run has in common.

    Attributes:
        settings: how the detectors are run.
        layout: how they are laid out on the cluster.
        shelf: where verdicts go.
        generation: the lease under which this run writes.
        memory: what `memory://` holds, for workers that cannot see it.
        known: the URL of the model's verdicts by content, where copies are not to be scored again.
        watch: told of every part that is written, and of what is not yet.
        gauges: tell Prometheus how far the run is.
        until: when nothing new is taken up, in seconds since 1970; None for never.
    """

    settings: DetectorSettings
    layout: cluster.Layout
    shelf: Shelf
    generation: str
    memory: Snapshot
    known: str | None
    watch: Watch
    gauges: Gauges
    until: float | None = None


@contextmanager
def paved(
    settings: DetectorSettings, held: Lease, shelf: Shelf, ledger: Ledger, sources: list[str], report: ProgressDisplay
) -> Iterator[Road]:
    """Connect to Ray, lay the detectors out on it, and, with `--dedupe`, write down what is known.

    Args:
        settings: how the detectors are run.
        held: the lease on the table.
        shelf: where verdicts go.
        ledger: the first model's partition.
        sources: what workers read.
        report: shows how far the run is.

    Raises:
        SettingsError: there is no such cluster, or it has not what is asked of it.
        MoleError: a worker's own error.
    """
    known = storage.join(storage.absolute(held.output), FOLDER, f"{held.generation}.arrow") if settings.dedupe else None
    try:
        if known is not None:
            for left in storage.names(known.rpartition("/")[0], ""):
                storage.remove(left)  # of a run that was killed
            write(ledger, known)
        report.enter(STARTING)
        with (
            cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
            cluster.unwrapped_errors(),
        ):
            layout = cluster.lay_out(
                settings.device,
                actors=settings.num_actors,
                batch_size=settings.batch_size,
                rows_per_file=settings.rows_per_file,
                resource=settings.score_resource,
            )
            report.enter(LOADING)
            with watched(report) as watch, shown(held) as gauges:
                yield Road(settings, layout, shelf, held.generation, snapshot(sources), known, watch, gauges)
    finally:
        if known is not None:
            storage.remove(known)


def drive(
    road: Road, readings: Sequence[Reading], judges: Sequence[Judge], *, units: list[str], limit: int | None = None
) -> int:
    """Take a wave of images down the road, and count those whose rows are written.

    Args:
        road: where to.
        readings: a read task each.
        judges: each gives every image a row; those of several stand on one tower.
        units: which units these are of.
        limit: stop after so many images.
    """
    road.layout.size_blocks(judges[0].described.preprocess.bytes)
    with road.watch.wave(judges[0].described.digest) as reporter:
        readings = [replace(one, reporter=reporter) if isinstance(one, Untold) else one for one in readings]
        images = _images(road, [partial(_read_images, one, road.until) for one in readings])
        images = images if limit is None else images.limit(limit)
        return _driven(road, images, judges, units, reporter)


def _driven(
    road: Road, images: Dataset, judges: Sequence[Judge], units: list[str], reporter: ProgressReporter | None
) -> int:
    """Take images down the road; with `--dedupe`, the copies among them last."""
    if road.known is None:
        return _put(road, judged(images, judges, road, reporter=reporter), judges, units).rows
    aside = copies.prefix(road.shelf.output, road.generation)
    claims: Any = ray.remote(num_cpus=0)(Claims).remote()  # costs no core that it does not use
    try:
        scored = _put(road, judged(images, judges, road, claims=claims, aside=aside, reporter=reporter), judges, units)
        waiting = copies.waiting(aside)
        if not waiting or not scored.files:
            return scored.rows
        rows = _images(road, [partial(copies.completed, waiting, scored.files)])
        return scored.rows + _put(road, rows, judges, units).rows
    finally:
        ray.kill(claims)
        for url in copies.waiting(aside):
            storage.remove(url)


@dataclass(frozen=True)
class Written:
    """What was written of the first model: rows, and the files that they are in."""

    rows: int
    files: tuple[str, ...]


def _images(road: Road, readings: Sequence[Reading]) -> Dataset:
    images: Dataset = ray.data.read_datasource(ImageSource(readings, road.memory), override_num_blocks=len(readings))
    return images


def _put(road: Road, verdicts: Dataset, judges: Sequence[Judge], units: list[str]) -> Written:
    """Write verdicts to the table, and report each part."""
    written, files, first = 0, [], judges[0].described.digest
    rows = road.layout.rows_per_file * len(judges)
    for part in road.shelf.put(verdicts, road.generation, rows, units):
        road.gauges.written(part, first)
        if part[MODEL] == first:
            written += part["rows"]
            files.append(part["file"])
            road.watch.written(part)
    return Written(written, tuple(files))


def judged(
    images: Dataset,
    judges: Sequence[Judge],
    road: Road,
    *,
    claims: ActorHandle[Claims] | None = None,
    aside: str | None = None,
    reporter: ProgressReporter | None = None,
) -> Dataset:
    """Join the steps: images in, verdicts out; nothing runs before the result is read.

    Args:
        images: as fetch reads them.
        judges: the detectors.
        road: what the wave has in common with the others.
        claims: with `--dedupe`, which of several copies is scored.
        aside: with `--dedupe`, where the rows of the others wait.
        reporter: where somebody watches.
    """
    settings, layout, spec = road.settings, road.layout, judges[0].described.preprocess
    bounds = (settings.max_bytes, settings.max_pixels, settings.min_side)
    models = [(judge.model, judge.described.digest) for judge in judges]
    step = partial(prepare, spec=spec, bounds=bounds, known=road.known, claims=claims)
    views = images.map_batches(step, batch_format="pyarrow")
    scores: Dataset = views.map_batches(
        Scorer,
        fn_constructor_kwargs={"models": models, "device": layout.device, "threads": layout.threads}
        | {"batch_size": layout.batch_size, "reporter": reporter, "until": road.until},
        batch_size=layout.rows_a_call(spec.bytes),
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=2),
        **layout.resources,
    )
    calibrations = {judge.described.digest: judge.described.calibration for judge in judges}
    finish = partial(
        conclude,
        calibrations=calibrations,
        fingerprint=spec.fingerprint,
        prevalence=settings.prevalence,
        aside=aside,
        reporter=reporter,
    )
    return scores.map_batches(finish, batch_format="pyarrow", **cluster.write_resources())
