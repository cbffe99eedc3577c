"""The flow of a scan: a row's road from its source to the verdict table, and the law that closes it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from math import ceil

from mole.config import demand_shared_backbone, describe
from mole.errors import SettingsError
from pipeline import registry
from pipeline.images import cropped
from pipeline.runtime import cluster
from pipeline.scan.budget import Budget
from pipeline.scan.groups import groups, most_groups
from pipeline.scan.plan import Plan
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.listed import listed
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Unit
from pipeline.scan.road import Judge, Reading, Road, Untold, drive, paved
from pipeline.scan.settings import ScanSettings
from pipeline.scan.table.carried import lacking
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.shelf import opened
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay

WAVE, TASKS_A_CORE = 1024, 16
"""Read tasks of one execution, at least; the driver holds that many, whatever the source has. More where there are so
many cores that a wave would be over before its detectors have paid for their loading (docs/scaling.md)."""
PASSES = 3
"""Over the source, at most: what a task that was begun again left out, since it read its unit otherwise than before,
is read once more."""


@dataclass(frozen=True)
class Summary:
    """What a scan did, and what the table holds of its source now.

    Attributes:
        table: the model's partition of the verdict table.
        model: the model's digest.
        units: units of the source.
        images: rows that the table holds of them.
        written: rows that this run wrote.
        repaired: rows that stood there twice and were taken out.
        skipped: files of folders passed over because of their name.
        shards_skipped: how many of those are shards.
        hidden: names of folders passed over because they begin with a dot; a folder counts as one.
        seconds: from the reading of the source to the check of the law.
        statuses: rows by status.
        verdicts: rows by verdict.
        law: `kept`, or `open` where `--max-images` or `--max-hours` ended the run before the source did.
        stopped: which of the two did; None where the source is done.
        units_left: units that are not done.
        images_left: images of theirs without a row; None where a shard among them has not told how many it holds.
        thresholds: the probabilities, at the run's prevalence, below which an image is `real`, and from which it is
            `generated`.
    """

    table: str
    model: str
    units: int
    images: int
    written: int
    repaired: int
    skipped: int
    shards_skipped: int
    hidden: int
    seconds: float
    statuses: dict[str, int]
    verdicts: dict[str, int]
    law: str
    stopped: str | None
    units_left: int
    images_left: int | None
    thresholds: tuple[float, float]


Look = Callable[[Plan, Sequence[Ledger]], None]
"""A look at what the table holds of a source now, the model's ledger first."""


def scan(settings: ScanSettings, progress: ProgressDisplay, look: Look | None = None) -> Summary:
    """Give every image of the source its one verdict of the model.

    Args:
        settings: what to scan, with what, and where the verdicts go.
        progress: told of every part that is written.
        look: called once everything is written and checked.

    Raises:
        SettingsError: the source or a setting is refused.
        StorageError: a store failed, or another scan holds the output; what is written stays good.
        ModelError: the checkpoint cannot be used.
        CompletenessError: the table does not hold every image once.
    """
    begun, budget = time.monotonic(), Budget.of(settings)
    cluster.demand_gpu(settings.device, settings.ray_address)
    judges = [Judge(place, describe(registry.locate(place))) for place in models(settings)]
    demand_shared_backbone([judge.described for judge in judges])
    if not cropped.BUILT and judges[0].described.preprocess.window(1, 1) is not None:
        progress.log(cropped.ADVICE)
    shelf = opened(settings.sink, settings.output)
    ledgers = [shelf.ledger(judge.described.digest) for judge in judges]
    source = Source(settings.source, settings.all_files, settings.image_member, shelf.output)
    wanted = Wanted(settings.max_bytes, settings.image_member, settings.carry)
    written = repaired = 0
    with Plan(listed(source.units(), progress, "comparing with the table"), ledgers) as planned:
        demand_columns(settings.carry, source)
        if stay := planned.rows_in(lacking(ledgers[0], settings.carry)):
            progress.log(
                f"{stay:,} images have rows already, which lack a column of --carry {','.join(settings.carry)} and "
                "stay as they are; scan into another --output to have it for all"
            )
        if any(planned.left(ledger).units for ledger in ledgers):
            with Lease(shelf.output) as held:
                for ledger in ledgers:
                    storage.sweep(ledger.folder)
                repaired = sum(ledger.repair() for ledger in ledgers)
                planned.look()
                progress.expect(*ahead(planned, ledgers), settings.limit)
                with paved(settings, held, shelf, ledgers[0], settings.source, progress) as paving:
                    road = replace(paving, until=budget.until)
                    for _ in range(PASSES):
                        more = _waves(
                            planned, road, judges, ledgers, wanted, replace(budget, images=budget.left(written))
                        )
                        written += more
                        repaired += sum(ledger.repair() for ledger in ledgers)
                        planned.look()
                        if not more or budget.spent(written) or not any(planned.left(one).units for one in ledgers):
                            break
        progress.enter("checking the table")
        laws = [planned.check(ledger) for ledger in ledgers]
        stopped = budget.spent(written) if any(law.open for law in laws) else None
        for law in laws:
            if law.doubled or not stopped:
                law.demand()
        counts = planned.counts(ledgers[0])
        left = max((planned.left(ledger) for ledger in ledgers), key=lambda one: one.units)
        if look is not None:
            look(planned, ledgers)
    return Summary(
        table=ledgers[0].folder,
        model=judges[0].described.digest,
        units=laws[0].units,
        images=laws[0].images,
        written=written,
        repaired=repaired,
        skipped=source.skipped,
        shards_skipped=source.shards_skipped,
        hidden=source.hidden,
        seconds=round(time.monotonic() - begun, 3),
        statuses=_sums((status, rows) for status, _, rows in counts),
        verdicts=_sums((verdict, rows) for _, verdict, rows in counts if verdict is not None),
        law="open" if stopped else "kept",
        stopped=stopped,
        units_left=left.units,
        images_left=left.images,
        thresholds=judges[0].described.calibration.thresholds(settings.prevalence),
    )


def ahead(planned: Plan, ledgers: Sequence[Ledger]) -> tuple[int, int]:
    """Count what is to do: what no judge has seen once for all of them, and what each alone lacks for itself.

    Returns:
        Images of the units that tell how many they have, and units that do not.
    """
    alone = [planned.left(ledger) for ledger in ledgers]
    shared, again = planned.left(*ledgers), len(ledgers) - 1
    told = sum(left.told for left in alone) - again * shared.told
    return told, sum(left.silent for left in alone) - again * shared.silent


def demand_columns(carry: Sequence[str], source: Source) -> None:
    """Insist that a source has the columns that are to come along, where all of its columns are known.

    Args:
        carry: the columns.
        source: whose units are read.

    Raises:
        SettingsError: one is nowhere there.
    """
    unknown = [name for name in carry if name not in source.columns]
    if unknown and not source.untold:
        near = get_close_matches(unknown[0], source.columns, 1)
        there = f"which has {', '.join(sorted(source.columns)) or 'none'}"
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise SettingsError(f"--carry {unknown[0]!r} is no column of the source, {there}{meant}")


def models(settings: ScanSettings) -> list[str]:
    """Name the places of the models that judge: the one that is asked for, and its shadow."""
    return [settings.model] if settings.shadow is None else [settings.model, settings.shadow]


def _waves(
    planned: Plan, road: Road, judges: Sequence[Judge], ledgers: Sequence[Ledger], wanted: Wanted, budget: Budget
) -> int:
    """Scan what is to do, so much at a time that the driver can hold the tasks; count the images.

    What no judge has seen goes to all of them in one pass, then each gets what it alone lacks.
    """
    pairs = list(zip(judges, ledgers, strict=True))
    written = 0
    for number, team in enumerate([pairs, *([pair] for pair in pairs if len(pairs) > 1)]):
        if number:
            planned.look()
        holding = [ledger for _, ledger in team]
        todo, cores = planned.left(*holding), road.layout.cores
        tasks = groups(planned.todo(*holding), todo.told, cores)
        size = max(WAVE, TASKS_A_CORE * cores)
        road.gauges.plan(waves=ceil(most_groups(todo, cores) / size), units=todo.units)
        while wave := list(islice(tasks, size)):
            if budget.spent(written):
                return written
            readings = [reading(group, wanted) for group in wave]
            units = [unit.name for group in wave for unit in group]
            written += drive(road, readings, [judge for judge, _ in team], units=units, limit=budget.left(written))
            road.gauges.wave_done()
    return written


def reading(group: Sequence[Unit], wanted: Wanted) -> Reading:
    """Make the reading of a group of units; a shard tells how many images it holds once it is read."""
    read = partial(fetch, group, wanted)
    return read if group[0].images is not None else Untold(group[0].name, read)


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, rows in pairs:
        sums[name] += rows
    return dict(sums.most_common())
