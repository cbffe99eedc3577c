"""The flow of a scan: plan a source, score its images wave by wave, check that every image has exactly one row."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from math import ceil

from mole.errors import SettingsError
from pipeline.images import cropped
from pipeline.runtime.machine import require_gpu
from pipeline.scan.budget import Budget
from pipeline.scan.local_executor import is_small
from pipeline.scan.models import ModelRef, describe_models
from pipeline.scan.plan import Plan
from pipeline.scan.read_function import CountingRead, ReadFunction
from pipeline.scan.read_tasks import max_tasks, tasks_of
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.listing_progress import show_listing
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Unit
from pipeline.scan.settings import ScanSettings
from pipeline.scan.summary import Summary
from pipeline.scan.table.carried_columns import files_without
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger, without_temporary_files
from pipeline.scan.table.sink import Sink, open_sink
from pipeline.scan.wave import ScanContext, choose_executor, execute_wave, prepare_context
from pipeline.telemetry.terminal import ProgressDisplay

MIN_WAVE_TASKS, WAVE_TASKS_PER_CORE = 1024, 16
"""Read tasks of one wave, at least: the driver holds no more, however large the source is. A wave is larger on many
cores, where 1,024 tasks would end before loading the detectors has paid off (docs/scaling.md)."""
MAX_PASSES = 3
"""Passes over the source at most: images that a retried task left out, since it read its unit differently, are read
again."""


OnFinish = Callable[[Plan, Sequence[Ledger]], None]
"""Called with the plan of a source and its ledgers, the model's first, once all is written and checked."""


@dataclass(frozen=True)
class _Run:
    """A scan whose source is planned.

    Attributes:
        settings: of the scan.
        plan: the source's units.
        models: the model, then its shadow.
        ledgers: their partitions, in that order.
        sink: where verdicts are written.
        budget: the run's limits.
        progress: shows progress.
    """

    settings: ScanSettings
    plan: Plan
    models: Sequence[ModelRef]
    ledgers: Sequence[Ledger]
    sink: Sink
    budget: Budget
    progress: ProgressDisplay

    def is_done(self) -> bool:
        """Tell whether every unit is complete in every ledger."""
        return not any(self.plan.remaining(ledger).units for ledger in self.ledgers)

    def is_small(self) -> bool:
        """Tell whether what is not done may be scanned in this process; Iceberg tables are written by Ray."""
        return self.settings.sink == "files" and all(is_small(self.plan.todo(ledger)) for ledger in self.ledgers)

    def repair(self, lease: Lease) -> int:
        """Remove duplicate rows from the ledgers under the lease, and count them."""
        return sum(ledger.repair(lease.check) for ledger in self.ledgers)


def scan(settings: ScanSettings, progress: ProgressDisplay, on_finish: OnFinish | None = None) -> Summary:
    """Give every image of the source exactly one verdict of the model.

    Args:
        settings: what to scan, with what, and where the verdicts are written.
        progress: shows progress.
        on_finish: called once all is written and checked.

    Raises:
        SettingsError: the source or a setting is refused.
        StorageError: a store failed, or another run holds the lease on the output; what is written stays valid.
        ModelError: the checkpoint cannot be used.
        CompletenessError: the completeness check failed: an image has no row, or several.
    """
    started, budget = time.monotonic(), Budget.of(settings)
    require_gpu(settings.device, settings.ray_address)
    models = describe_models(model_locations(settings))
    if not cropped.IS_BUILT and models[0].description.preprocess.region(1, 1) is not None:
        progress.log(cropped.BUILD_ADVICE)
    sink = open_sink(settings.sink, settings.output)
    ledgers = [sink.ledger(model.digest) for model in models]
    source = Source(settings.source, settings.all_files, settings.image_member, sink.output)
    written = repaired = 0
    with Plan(show_listing(source.units(), progress, "comparing with the table"), ledgers) as plan:
        require_columns(settings.carry, source)
        _report_missing_columns(plan, ledgers[0], settings.carry, progress)
        run = _Run(settings, plan, models, ledgers, sink, budget, progress)
        if not run.is_done():
            written, repaired = _execute(run)
        progress.enter("checking the table")
        summary = _check(run, source, written, repaired)
        if on_finish is not None:
            on_finish(plan, ledgers)
    return replace(summary, seconds=round(time.monotonic() - started, 3))


def remaining_work(plan: Plan, ledgers: Sequence[Ledger]) -> tuple[int, int]:
    """Count what is not done: what all models lack once, then what each of them lacks alone.

    Returns:
        Images of the units whose number of images is known, and the number of the other units.
    """
    alone = [plan.remaining(ledger) for ledger in ledgers]
    shared, times = plan.remaining(*ledgers), len(ledgers) - 1
    images = sum(each.counted_images for each in alone) - times * shared.counted_images
    return images, sum(each.uncounted for each in alone) - times * shared.uncounted


def require_columns(carry: Sequence[str], source: Source) -> None:
    """Insist that a source has the columns that `--carry` names, where all of its columns are known.

    Args:
        carry: the columns.
        source: whose units were read.

    Raises:
        SettingsError: the source lacks a column.
    """
    unknown = [name for name in carry if name not in source.columns]
    if unknown and not source.has_unknown_columns:
        similar = get_close_matches(unknown[0], source.columns, 1)
        suggestion = f"; did you mean {similar[0]!r}?" if similar else ""
        has = ", ".join(sorted(source.columns)) or "none"
        raise SettingsError(f"--carry {unknown[0]!r} is not a column of the source, which has {has}{suggestion}")


def model_locations(settings: ScanSettings) -> list[str]:
    """List the locations of the model and of its shadow."""
    return [settings.model] if settings.shadow is None else [settings.model, settings.shadow]


def read_function(units: Sequence[Unit], options: ReadOptions) -> ReadFunction:
    """Make the read function of a group of units; shards report their number of images once they are read."""
    read = partial(fetch, units, options)
    return read if units[0].images is not None else CountingRead(read)


def _report_missing_columns(plan: Plan, ledger: Ledger, carry: Sequence[str], progress: ProgressDisplay) -> None:
    """Report rows that were written without a column of `--carry`."""
    if rows := plan.rows_in(files_without(ledger, carry)):
        progress.log(
            f"{rows:,} images already have rows without a column of --carry {','.join(carry)}; these rows stay as they "
            "are; scan into another --output to have the columns for all images"
        )


def _execute(run: _Run) -> tuple[int, int]:
    """Scan what is not done, under the lease on the output.

    Returns:
        Rows written, and duplicate rows removed.
    """
    with Lease(run.sink.output) as lease, without_temporary_files(run.ledgers):
        written, repaired = 0, run.repair(lease)
        run.plan.refresh()
        run.progress.expect(*remaining_work(run.plan, run.ledgers), run.settings.limit)
        executor = choose_executor(run.settings, run.settings.source, run.progress, run.is_small)
        with prepare_context(run.settings, executor, lease, run.sink, run.ledgers[0], run.progress) as prepared:
            context = replace(prepared, deadline=run.budget.deadline)
            for _ in range(MAX_PASSES):
                added = _execute_pass(run, context, written)
                written += added
                repaired += run.repair(lease)
                run.plan.refresh()
                if not added or run.budget.exhausted_by(written) or run.is_done():
                    break
    return written, repaired


def _execute_pass(run: _Run, context: ScanContext, written: int) -> int:
    """Make one pass over what is not done, a wave at a time, and count the images.

    Images that all models lack are scored by all of them at once; then each model scores what it alone lacks.

    Args:
        run: the scan.
        context: what its waves share.
        written: rows that the run wrote before.
    """
    options = ReadOptions(run.settings.max_bytes, run.settings.image_member, run.settings.carry)
    pairs, before = list(zip(run.models, run.ledgers, strict=True)), written
    for number, pairs_together in enumerate([pairs, *([pair] for pair in pairs if len(pairs) > 1)]):
        if number:
            run.plan.refresh()
        models, ledgers = [model for model, _ in pairs_together], [ledger for _, ledger in pairs_together]
        remaining, cores = run.plan.remaining(*ledgers), context.executor.cores
        tasks = tasks_of(run.plan.todo(*ledgers), remaining, cores)
        size = max(MIN_WAVE_TASKS, WAVE_TASKS_PER_CORE * cores)
        context.gauges.plan(waves=ceil(max_tasks(remaining, cores) / size), units=remaining.units)
        while wave := list(islice(tasks, size)):
            if run.budget.exhausted_by(written):
                return written - before
            reads = [read_function(task, options) for task in wave]
            units = [unit.name for task in wave for unit in task]
            written += execute_wave(context, reads, models, units=units, limit=run.budget.remaining(written))
            context.gauges.wave_done()
    return written - before


def _check(run: _Run, source: Source, written: int, repaired: int) -> Summary:
    """Check that every image has exactly one row in each ledger, and sum up the run.

    Raises:
        CompletenessError: an image has several rows, or has none though no limit ended the run.
    """
    checks = [run.plan.check(ledger) for ledger in run.ledgers]
    stopped = run.budget.exhausted_by(written) if any(check.incomplete for check in checks) else None
    for check in checks:
        if check.duplicated or not stopped:
            check.require_passed()
    counts = run.plan.counts(run.ledgers[0])
    remaining = max((run.plan.remaining(ledger) for ledger in run.ledgers), key=lambda one: one.units)
    return Summary(
        table=run.ledgers[0].folder,
        model=run.models[0].digest,
        units=checks[0].units,
        images=checks[0].images,
        written=written,
        repaired=repaired,
        skipped=source.skipped,
        shards_skipped=source.shards_skipped,
        hidden=source.hidden,
        seconds=0.0,
        statuses=_sums((status, rows) for status, _, rows in counts),
        verdicts=_sums((verdict, rows) for _, verdict, rows in counts if verdict is not None),
        law="open" if stopped else "kept",
        stopped=stopped,
        units_left=remaining.units,
        images_left=remaining.images,
        thresholds=run.models[0].description.calibration.thresholds(run.settings.prevalence),
    )


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, rows in pairs:
        sums[name] += rows
    return dict(sums.most_common())
