"""Wave: read, prepare, score, conclude and write the images of many read tasks, for a scan or a rescan."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipeline.records import MODEL
from pipeline.scan.executor import Executor
from pipeline.scan.gauges import Gauges, export_gauges
from pipeline.scan.local_executor import in_this_process, is_local
from pipeline.scan.models import ModelRef
from pipeline.scan.monitor import LOADING, Monitor, monitored
from pipeline.scan.read_function import CountingRead, ReadFunction
from pipeline.scan.settings import DetectorSettings
from pipeline.scan.stages import Stages
from pipeline.scan.table import duplicates
from pipeline.scan.table.content_index import INDEX_FOLDER, write_index
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.sink import Sink
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay


@dataclass(frozen=True)
class ScanContext:
    """What all waves of a run share.

    Attributes:
        settings: how the detectors run.
        executor: runs the tasks of a wave.
        sink: where verdicts are written.
        generation: the lease under which this run writes.
        content_index: the URL of the model's verdicts by content hash; None without `--dedupe`.
        monitor: shows progress.
        gauges: export progress to Prometheus.
        deadline: when no new work is started, in seconds since 1970; None for never.
    """

    settings: DetectorSettings
    executor: Executor
    sink: Sink
    generation: str
    content_index: str | None
    monitor: Monitor
    gauges: Gauges
    deadline: float | None = None


def choose_executor(
    settings: DetectorSettings, sources: list[str], progress: ProgressDisplay, is_small: Callable[[], bool]
) -> AbstractContextManager[Executor]:
    """Choose where a run's images are scored: in this process, where that is done sooner than Ray starts.

    Args:
        settings: how the detectors run.
        sources: what workers read.
        progress: shows progress.
        is_small: tells whether the images are few and safe enough to be read in this process; not asked on a cluster.
    """
    if is_local(settings) and is_small():
        return in_this_process(settings)
    from pipeline.scan.ray_executor import on_ray  # Ray takes seconds to import, and a small source does without

    return on_ray(settings, sources, progress)


@contextmanager
def prepare_context(
    settings: DetectorSettings,
    executor: AbstractContextManager[Executor],
    lease: Lease,
    sink: Sink,
    ledger: Ledger,
    progress: ProgressDisplay,
) -> Iterator[ScanContext]:
    """Start the executor and, with `--dedupe`, write the index of known contents.

    Args:
        settings: how the detectors run.
        executor: as `choose_executor` returns it.
        lease: the run's lease on the table.
        sink: where verdicts are written.
        ledger: the first model's partition.
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
        with executor as started:
            progress.enter(LOADING)
            with monitored(progress, started.counter) as monitor, export_gauges(lease) as gauges:
                yield ScanContext(settings, started, sink, lease.generation, index, monitor, gauges)
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
        reads: yield tables of `FETCHED`, a task each.
        models: each gives every image a row; several share a backbone.
        units: names of the units that are read.
        limit: stop after this many images.

    Returns:
        How many rows of the first model were written.
    """
    executor = context.executor
    with context.monitor.wave(models[0].digest) as reporter, ExitStack() as shared:
        reads = [replace(read, reporter=reporter) if isinstance(read, CountingRead) else read for read in reads]
        stages = Stages(
            **_model_arguments(context, models),
            scorers=executor.scorers(models, reporter),
            isolated=executor.isolated,
            quota=None if limit is None else shared.enter_context(executor.quota(limit)),
            deadline=context.deadline,
            reporter=reporter,
        )
        if context.content_index is None:
            return write_verdicts(context, [partial(stages.verdicts, read) for read in reads], models, units).rows
        prefix = duplicates.deferred_prefix(context.sink.output, context.generation)
        stages = replace(
            stages,
            content_index=context.content_index,
            claims=shared.enter_context(executor.claims()),
            deferred=prefix,
        )
        return _execute_deduplicated(context, [partial(stages.verdicts, read) for read in reads], models, units, prefix)


def _model_arguments(context: ScanContext, models: Sequence[ModelRef]) -> Mapping[str, Any]:
    """Return those arguments of `Stages` that follow from the models and the settings."""
    settings, spec = context.settings, models[0].description.preprocess
    return {
        "spec": spec,
        "bounds": (settings.max_bytes, settings.max_pixels, settings.min_side),
        "calibrations": {model.digest: model.description.calibration for model in models},
        "prevalence": settings.prevalence,
        "rows_per_call": context.executor.rows_per_call(spec.bytes),
    }


def _execute_deduplicated(
    context: ScanContext, tasks: Sequence[ReadFunction], models: Sequence[ModelRef], units: list[str], prefix: str
) -> int:
    """Execute a wave with `--dedupe`: duplicates within it get their rows after the image that was scored."""
    try:
        scored = write_verdicts(context, tasks, models, units)
        deferred = duplicates.deferred_files(prefix)
        if not deferred or not scored.files:
            return scored.rows
        completion = partial(duplicates.complete_deferred, deferred, scored.files)
        return scored.rows + write_verdicts(context, [completion], models, units).rows
    finally:
        for url in duplicates.deferred_files(prefix):
            storage.remove(url)


@dataclass(frozen=True)
class Written:
    """What was written of the first model: the number of rows, and their files."""

    rows: int
    files: tuple[str, ...]


def write_verdicts(
    context: ScanContext, tasks: Sequence[ReadFunction], models: Sequence[ModelRef], units: list[str]
) -> Written:
    """Run tasks, write their verdicts to the sink, and report each part."""
    written, files, first = 0, [], models[0].digest
    rows = context.executor.rows_per_file * len(models)
    for part in context.sink.put(context.executor.run(tasks), context.generation, rows, units):
        context.gauges.written(part, first)
        if part[MODEL] == first:
            written += part["rows"]
            files.append(part["file"])
            context.monitor.written(part)
    return Written(written, tuple(files))
