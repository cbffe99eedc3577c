"""Execution of a wave: read, prepare, score, conclude and write images with Ray Data; shared by scan and rescan."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray
import ray.data
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, Dataset

from pipeline.records import MODEL
from pipeline.runtime import cluster
from pipeline.scan.budget import Scorer
from pipeline.scan.connection import connected
from pipeline.scan.datasource import CountingRead, ImageSource, ReadFunction, read_images
from pipeline.scan.gauges import Gauges, export_gauges
from pipeline.scan.models import ModelRef
from pipeline.scan.monitor import LOADING, STARTING, Monitor, monitored
from pipeline.scan.settings import DetectorSettings
from pipeline.scan.table import duplicates
from pipeline.scan.table.content_index import INDEX_FOLDER, write_index
from pipeline.scan.table.deduplicator import Deduplicator
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.sink import Sink
from pipeline.scan.workers import conclude, prepare
from pipeline.storage import storage
from pipeline.storage.memory import Snapshot, snapshot
from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay


@dataclass(frozen=True)
class ScanContext:
    """What all waves of a run share.

    Attributes:
        settings: how the detectors run.
        layout: scorers, batch size and cores of the cluster.
        sink: where verdicts are written.
        generation: the lease under which this run writes.
        memory: the content of `memory://`, which workers cannot see.
        content_index: the URL of the model's verdicts by content hash; None without `--dedupe`.
        monitor: shows progress.
        gauges: export progress to Prometheus.
        deadline: when no new work is started, in seconds since 1970; None for never.
    """

    settings: DetectorSettings
    layout: cluster.Layout
    sink: Sink
    generation: str
    memory: Snapshot
    content_index: str | None
    monitor: Monitor
    gauges: Gauges
    deadline: float | None = None


@contextmanager
def prepare_context(
    settings: DetectorSettings, lease: Lease, sink: Sink, ledger: Ledger, sources: list[str], progress: ProgressDisplay
) -> Iterator[ScanContext]:
    """Connect to Ray, lay out the scorers and, with `--dedupe`, write the index of known contents.

    Args:
        settings: how the detectors run.
        lease: the run's lease on the table.
        sink: where verdicts are written.
        ledger: the first model's partition.
        sources: what workers read.
        progress: shows progress.

    Raises:
        SettingsError: there is no such cluster, or it lacks what the settings ask for.
        MoleError: an error of a worker, as it was raised there.
    """
    folder = storage.join(storage.absolute(lease.output), INDEX_FOLDER)
    index = storage.join(folder, f"{lease.generation}.arrow") if settings.dedupe else None
    try:
        if index is not None:
            for leftover in storage.list_files(folder, ""):
                storage.remove(leftover)  # of a run that was killed
            write_index(ledger, index)
        progress.enter(STARTING)
        with connected(settings) as layout:
            progress.enter(LOADING)
            with monitored(progress) as monitor, export_gauges(lease) as gauges:
                memory = snapshot(sources)
                yield ScanContext(settings, layout, sink, lease.generation, memory, index, monitor, gauges)
    finally:
        if index is not None:
            storage.remove(index)


def execute_wave(
    context: ScanContext,
    reads: Sequence[ReadFunction],
    models: Sequence[ModelRef],
    *,
    units: list[str],
    limit: int | None = None,
) -> int:
    """Execute a wave: score its images with each model, and write the verdicts.

    Args:
        context: what all waves of the run share.
        reads: a read task each.
        models: each gives every image a row; several share a backbone.
        units: names of the units that are read.
        limit: stop after this many images.

    Returns:
        How many rows of the first model were written.
    """
    context.layout.size_blocks(models[0].description.preprocess.bytes)
    with context.monitor.wave(models[0].digest) as reporter:
        reads = [replace(read, reporter=reporter) if isinstance(read, CountingRead) else read for read in reads]
        images = _dataset(context, [partial(read_images, read, context.deadline) for read in reads])
        images = images if limit is None else images.limit(limit)
        if context.content_index is None:
            return _write(context, verdicts(images, models, context, reporter=reporter), models, units).rows
        return _execute_deduplicated(context, images, models, units, reporter)


def _execute_deduplicated(
    context: ScanContext,
    images: Dataset,
    models: Sequence[ModelRef],
    units: list[str],
    reporter: ProgressReporter | None,
) -> int:
    """Execute a wave with `--dedupe`: duplicates within it get their rows after the image that was scored."""
    prefix = duplicates.deferred_prefix(context.sink.output, context.generation)
    deduplicator: Any = ray.remote(num_cpus=0)(Deduplicator).remote()  # reserves no core
    try:
        dataset = verdicts(images, models, context, deduplicator=deduplicator, deferred=prefix, reporter=reporter)
        scored = _write(context, dataset, models, units)
        deferred = duplicates.deferred_files(prefix)
        if not deferred or not scored.files:
            return scored.rows
        completed = _dataset(context, [partial(duplicates.complete_deferred, deferred, scored.files)])
        return scored.rows + _write(context, completed, models, units).rows
    finally:
        ray.kill(deduplicator)
        for url in duplicates.deferred_files(prefix):
            storage.remove(url)


@dataclass(frozen=True)
class Written:
    """What was written of the first model: the number of rows, and their files."""

    rows: int
    files: tuple[str, ...]


def _dataset(context: ScanContext, reads: Sequence[ReadFunction]) -> Dataset:
    dataset: Dataset = ray.data.read_datasource(ImageSource(reads, context.memory), override_num_blocks=len(reads))
    return dataset


def _write(context: ScanContext, dataset: Dataset, models: Sequence[ModelRef], units: list[str]) -> Written:
    """Write verdicts to the sink, and report each part."""
    written, files, first = 0, [], models[0].digest
    rows = context.layout.rows_per_file * len(models)
    for part in context.sink.put(dataset, context.generation, rows, units):
        context.gauges.written(part, first)
        if part[MODEL] == first:
            written += part["rows"]
            files.append(part["file"])
            context.monitor.written(part)
    return Written(written, tuple(files))


def verdicts(
    images: Dataset,
    models: Sequence[ModelRef],
    context: ScanContext,
    *,
    deduplicator: ActorHandle[Deduplicator] | None = None,
    deferred: str | None = None,
    reporter: ProgressReporter | None = None,
) -> Dataset:
    """Chain the stages prepare, score and conclude; nothing runs before the result is read.

    Args:
        images: tables of `FETCHED`.
        models: the detectors.
        context: what all waves of the run share.
        deduplicator: with `--dedupe`, decides which of several equal images is scored.
        deferred: with `--dedupe`, the URL prefix under which rows of duplicates wait.
        reporter: receives progress; None where none is shown.

    Returns:
        Verdicts of every model, as `conclude` writes them.
    """
    settings, spec = context.settings, models[0].description.preprocess
    bounds = (settings.max_bytes, settings.max_pixels, settings.min_side)
    prepare_block = partial(
        prepare, spec=spec, bounds=bounds, content_index=context.content_index, deduplicator=deduplicator
    )
    conclude_block = partial(
        conclude,
        calibrations={model.digest: model.description.calibration for model in models},
        fingerprint=spec.fingerprint,
        prevalence=settings.prevalence,
        deferred=deferred,
        reporter=reporter,
    )
    prepared = images.map_batches(prepare_block, batch_format="pyarrow")
    scored = _score_stage(prepared, models, context, reporter)
    return scored.map_batches(conclude_block, batch_format="pyarrow", **cluster.write_resources())


def _score_stage(
    prepared: Dataset, models: Sequence[ModelRef], context: ScanContext, reporter: ProgressReporter | None
) -> Dataset:
    """Score views on a fixed pool of actors."""
    layout = context.layout
    scorer = {
        "models": [(model.location, model.digest) for model in models],
        "device": layout.device,
        "threads": layout.threads,
        "batch_size": layout.batch_size,
        "reporter": reporter,
        "deadline": context.deadline,
    }
    scored: Dataset = prepared.map_batches(
        Scorer,
        fn_constructor_kwargs=scorer,
        batch_size=layout.rows_per_call(models[0].description.preprocess.bytes),
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=2),
        **layout.resources,
    )
    return scored
