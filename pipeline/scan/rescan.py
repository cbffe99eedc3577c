"""The flow of a rescan: select images of a verdict table, score them again, check that each has exactly one row."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

from mole.errors import CompletenessError
from pipeline import registry
from pipeline.runtime.machine import require_gpu
from pipeline.scan.budget import Budget
from pipeline.scan.local_executor import MAX_IMAGES
from pipeline.scan.models import ModelRef, describe_models
from pipeline.scan.read_function import ReadFunction
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.selected_images import fetch_selected, fetch_whole_unit
from pipeline.scan.settings import RescanSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger, escape_glob, without_temporary_files
from pipeline.scan.table.parquet_sink import ParquetSink, partition
from pipeline.scan.table.selection import Selection, SelectionQuery, select_images
from pipeline.scan.table.views import open_views, require_table
from pipeline.scan.wave import choose_executor, execute_wave, prepare_context
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay

LISTINGS_FOLDER = "_rescans"
"""Folder of the table that holds listings while a rescan runs; Parquet readers skip names that begin with `_`."""
TASKS_PER_CORE = 4

MISSING_QUERY = """
    SELECT count(*) FILTER (rows IS NULL), count(*) FILTER (rows > 1)
    FROM read_parquet($listing) LEFT JOIN (
        SELECT unit, "index", count(*) AS rows FROM verdicts WHERE model = $model GROUP BY ALL
    ) USING (unit, "index")
"""
OUTCOMES_QUERY = """
    SELECT listing.verdict, new.verdict, new.status, count(*)
    FROM (FROM verdicts WHERE model = $model) AS new
    JOIN read_parquet($listing) AS listing USING (unit, "index")
    GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class OutcomeChange:
    """How many images changed from one outcome to another: a verdict, or the status of an image without one."""

    before: str
    after: str
    images: int


@dataclass(frozen=True)
class RescanResult:
    """The result of a rescan.

    Attributes:
        table: URL of the model's partition of the verdict table.
        model: the model's digest.
        chosen: images that were selected.
        written: rows that this run wrote.
        repaired: older duplicate rows that were removed.
        image_bytes: bytes of the selected images.
        read_bytes: bytes that were read for them.
        seconds: from the query to the completeness check.
        turns: images by their outcome before and now.
        law: the completeness check: `kept` where every selected image has exactly one row, `open` where
            `--max-images` or `--max-hours` ended the run earlier.
        stopped: the flag that ended the run; None where all are scored.
        left: selected images that are not scored.
        thresholds: the probabilities, at the run's prevalence, below which an image is `real`, and from which it is
            `generated`.
    """

    table: str
    model: str
    chosen: int
    written: int
    repaired: int
    image_bytes: int
    read_bytes: int
    seconds: float
    turns: tuple[OutcomeChange, ...]
    law: str
    stopped: str | None
    left: int
    thresholds: tuple[float, float]


@dataclass
class Pass:
    """Images that were selected for some models, and their outcomes.

    Attributes:
        selection: the images.
        written: rows that were written.
        turns: images by their outcome before and now.
    """

    selection: Selection
    written: int
    turns: Counter[tuple[str, str]]

    @property
    def left(self) -> int:
        """Selected images that were not scored, since a limit ended the run."""
        return self.selection.images - self.written


@dataclass(frozen=True)
class _Run:
    """A rescan that holds the lease.

    Attributes:
        settings: of the rescan.
        models: the model, then its shadow.
        ledgers: their partitions, in that order.
        lease: on the table.
        budget: the run's limits.
        progress: shows progress.
    """

    settings: RescanSettings
    models: Sequence[ModelRef]
    ledgers: Sequence[Ledger]
    lease: Lease
    budget: Budget
    progress: ProgressDisplay


def rescan(settings: RescanSettings, progress: ProgressDisplay) -> RescanResult:
    """Give each selected image exactly one verdict of the model.

    Args:
        settings: which images of which table, and which model scores them.
        progress: shows progress.

    Raises:
        SettingsError: a setting or the condition is refused.
        StorageError: a store failed, or another run holds the lease on the table; what is written stays valid.
        ModelError: the checkpoint cannot be used.
        CompletenessError: the completeness check failed: a selected image has no row, or several.
    """
    started, budget = time.monotonic(), Budget.of(settings)
    require_gpu(settings.device, settings.ray_address)
    names = [name for name in (settings.model, settings.shadow) if name]
    models = describe_models([registry.resolve(name, settings.registry) for name in names])
    ledgers = [Ledger(partition(settings.table, model.digest)) for model in models]
    require_table(settings.table)
    with Lease(settings.table) as lease, without_temporary_files(ledgers):
        for leftover in storage.list_files(storage.join(settings.table, LISTINGS_FOLDER), ".parquet"):
            storage.remove(leftover)
        repaired = sum(ledger.repair(lease.check) for ledger in ledgers)
        passes, more = _execute_passes(_Run(settings, models, ledgers, lease, budget, progress))
    written, left = sum(one.written for one in passes), sum(one.left for one in passes)
    turns = sum((one.turns for one in passes), Counter[tuple[str, str]]())
    return RescanResult(
        table=ledgers[0].folder,
        model=models[0].digest,
        chosen=sum(one.selection.images for one in passes),
        written=written,
        repaired=repaired + more,
        image_bytes=sum(one.selection.image_bytes for one in passes),
        read_bytes=sum(one.selection.read_bytes for one in passes),
        seconds=round(time.monotonic() - started, 3),
        turns=tuple(OutcomeChange(*turn, images) for turn, images in turns.items()),
        law="open" if left else "kept",
        stopped=budget.exhausted_by(written) if left else None,
        left=left,
        thresholds=models[0].description.calibration.thresholds(settings.prevalence),
    )


def read_functions(selection: Selection, options: ReadOptions, cores: int) -> list[ReadFunction]:
    """Split a selection into read functions: enough for every core, and one for each unit that is read whole."""
    parts = max(1, ceil(TASKS_PER_CORE * cores / selection.groups))
    selected: list[ReadFunction] = [
        partial(fetch_selected, selection.url, group, (part, parts), options)
        for group in range(selection.groups)
        for part in range(parts)
    ]
    whole = [partial(fetch_whole_unit, selection.url, unit, groups, options) for unit, groups in selection.entire]
    return [*selected, *whole]


def _execute_passes(run: _Run) -> tuple[list[Pass], int]:
    """Score what all models lack with all of them at once, then what each alone lacks.

    Returns:
        The passes, and how many duplicate rows were removed.
    """
    table, models = run.settings.table, run.models
    listing = storage.join(storage.absolute(table), LISTINGS_FOLDER, f"{run.lease.generation}.parquet")
    passes: list[Pass] = []
    repaired = 0
    for models_together in [models, *([model] for model in models if len(models) > 1)]:
        try:
            passes.append(_execute_pass(run, models_together, listing, sum(one.written for one in passes)))
            repaired += sum(ledger.repair(run.lease.check) for ledger in run.ledgers) if passes[-1].written else 0
            turns = [_check(table, listing, model.digest, passes[-1].left) for model in models_together]
        finally:
            storage.remove(listing)
        passes[-1].turns = turns[0] if models_together[0] is models[0] else Counter()
    return passes, repaired


def _execute_pass(run: _Run, models: Sequence[ModelRef], listing: str, before: int) -> Pass:
    """Select the images that none of some models has scored, and score them within the budget.

    Args:
        run: the rescan.
        models: which score them.
        listing: the URL under which the selection is written.
        before: rows that the run wrote before.
    """
    settings, progress, limit = run.settings, run.progress, run.budget.remaining(before)
    digests = tuple(model.digest for model in models)
    progress.enter("choosing images")
    with open_views(settings.table) as views:
        query = SelectionQuery(digests, settings.where, settings.newer_than, settings.sample)
        selection = select_images(views, query, listing)
    if not selection.images or run.budget.exhausted_by(before):
        return Pass(selection, 0, Counter())
    progress.expect(progress.images + (selection.images if limit is None else min(selection.images, limit)))
    options = ReadOptions(settings.max_bytes, settings.image_member, selection.carry)
    sink, ledger = ParquetSink(settings.table), Ledger(partition(settings.table, digests[0]))
    small = selection.images <= MAX_IMAGES and not selection.entire
    executor = choose_executor(settings, [settings.table], progress, lambda: small)
    with prepare_context(settings, executor, run.lease, sink, ledger, progress) as prepared:
        context = replace(prepared, deadline=run.budget.deadline)
        context.gauges.plan(waves=1, units=0)
        reads = read_functions(selection, options, context.executor.cores)
        written = execute_wave(context, reads, models, units=[], limit=limit)
        context.gauges.wave_done()
    if written < selection.images and not run.budget.exhausted_by(before + written):
        raise CompletenessError(
            f"{selection.images:,} images were selected and {written:,} rows written; start the rescan again"
        )
    return Pass(selection, written, Counter())


def _check(table: str, listing: str, model: str, left: int) -> Counter[tuple[str, str]]:
    """Check that every selected image, except for `left` of them, has exactly one row.

    Returns:
        Images by their outcome before and now.

    Raises:
        CompletenessError: an image has no row, or several.
    """
    with open_views(table) as views:
        values = {"listing": escape_glob(listing), "model": model}
        missing, duplicated = views.execute(MISSING_QUERY, values).fetchall()[0]
        if missing > left or duplicated:
            raise CompletenessError(
                f"completeness check failed: {missing:,} of the selected images have no row, {duplicated:,} have "
                "several; start the rescan again"
            )
        found = views.execute(OUTCOMES_QUERY, values).fetchall()
    turns: Counter[tuple[str, str]] = Counter()
    for before, after, status, images in found:
        turns[before or "no verdict", after or status] += images
    return turns
