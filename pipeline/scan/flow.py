"""The flow of a scan: a row's road from its source to the verdict table, and the law that closes it."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from mole.config import describe
from pipeline import memory, registry, storage
from pipeline.scan.fetch import fetch
from pipeline.scan.image import Wanted
from pipeline.scan.lease import Lease
from pipeline.scan.ledger import Ledger
from pipeline.scan.plan import Plan, groups, plan
from pipeline.scan.road import Judge, Reading, Shelf, Work, drive
from pipeline.scan.source import Source
from pipeline.settings import ScanSettings
from pipeline.telemetry import Ticker


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
        seconds: from the reading of the source to the check of the law.
        statuses: rows by status.
        verdicts: rows by verdict.
        law: `kept`, or `open` where `--limit` ended the run before the source did.
    """

    table: str
    model: str
    units: int
    images: int
    written: int
    repaired: int
    skipped: int
    shards_skipped: int
    seconds: float
    statuses: dict[str, int]
    verdicts: dict[str, int]
    law: str


def scan(settings: ScanSettings, ticker: Ticker) -> Summary:
    """Give every image of the source its one verdict of the model.

    Args:
        settings: what to scan, with what, and where the verdicts go.
        ticker: told of every part that is written.

    Raises:
        SettingsError: the source or a setting is refused.
        StorageError: a store failed, or another scan holds the output; what is written stays good.
        ModelError: the checkpoint cannot be used.
        LawError: the table does not hold every image once.
    """
    begun = time.monotonic()
    model = describe(registry.locate(settings.model))
    source = Source(settings.source, settings.all_files)
    ledger = Ledger(storage.join(storage.absolute(settings.output), f"model={model.digest}"))
    planned, written, repaired = plan(source.units(), ledger), 0, 0
    if planned.todo:
        with Lease(settings.output) as held:
            storage.sweep(ledger.folder)
            planned = plan(source.units(), ledger)
            ticker.expect(planned.images if settings.limit is None else settings.limit)
            work = Work(partial(readings, planned, settings), memory.snapshot(settings.source), settings.limit)
            shelf = Shelf(settings.output, ledger.folder, held.generation)
            written = drive(work, Judge(settings.model, model), shelf, settings, ticker)
            repaired = ledger.repair()
    law = ledger.check(planned.names)
    if settings.limit is None:
        law.demand()
    counts = ledger.counts(planned.names)
    return Summary(
        table=ledger.folder,
        model=model.digest,
        units=law.units,
        images=law.images,
        written=written,
        repaired=repaired,
        skipped=source.skipped,
        shards_skipped=source.shards_skipped,
        seconds=round(time.monotonic() - begun, 3),
        statuses=_sums((status, rows) for status, _, rows in counts),
        verdicts=_sums((verdict, rows) for _, verdict, rows in counts if verdict is not None),
        law="open" if law.open else "kept",
    )


def readings(planned: Plan, settings: ScanSettings, cores: int) -> list[Reading]:
    """Write what is to do as work for Ray, a task for each group of units."""
    wanted = Wanted(settings.max_bytes, settings.image_member, settings.carry)
    return [partial(fetch, group, wanted) for group in groups(planned.todo, cores)]


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, rows in pairs:
        sums[name] += rows
    return dict(sums.most_common())
