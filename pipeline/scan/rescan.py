"""The flow of a rescan: a query of the verdict table, the images that it chooses, and the law over those."""

import time
from dataclasses import dataclass
from functools import partial
from math import ceil

from mole.config import describe
from mole.errors import LawError
from pipeline import memory, registry, storage
from pipeline.scan.choice import Asked, Choice, choose
from pipeline.scan.image import Wanted
from pipeline.scan.lease import Lease
from pipeline.scan.ledger import Ledger
from pipeline.scan.reread import fetch_chosen, fetch_entire
from pipeline.scan.road import Judge, Reading, Shelf, Work, drive
from pipeline.scan.table import demand_table, opened
from pipeline.settings import RescanSettings
from pipeline.telemetry import Ticker

LISTINGS = "_rescans"
"""Where listings lie in a table while a rescan runs; readers of Parquet pass over names that begin so."""
TASKS_A_CORE = 4

LAW = """
    SELECT count(*) FILTER (rows IS NULL), count(*) FILTER (rows > 1)
    FROM read_parquet($listing) LEFT JOIN (
        SELECT unit, "index", count(*) AS rows FROM verdicts WHERE model = $model GROUP BY ALL
    ) USING (unit, "index")
"""
OUTCOME = """
    SELECT listing.verdict, new.verdict, new.status, count(*)
    FROM (FROM verdicts WHERE model = $model) AS new
    JOIN read_parquet($listing) AS listing USING (unit, "index")
    GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Turn:
    """How many images went from one answer to another: a verdict, or the status of an image that has none."""

    before: str
    after: str
    images: int


@dataclass(frozen=True)
class Rescanned:
    """What a rescan did.

    Attributes:
        table: the model's partition of the verdict table.
        model: the model's digest.
        chosen: images that were chosen.
        written: rows that this run wrote.
        repaired: older rows that were taken out, since an image has one.
        image_bytes: what the chosen images hold together.
        read_bytes: what was read for them.
        seconds: from the query to the check of the law.
        turns: what the newest row said before, and what it says now.
        law: `kept`.
    """

    table: str
    model: str
    chosen: int
    written: int
    repaired: int
    image_bytes: int
    read_bytes: int
    seconds: float
    turns: tuple[Turn, ...]
    law: str


def rescan(settings: RescanSettings, ticker: Ticker) -> Rescanned:
    """Give each image that is chosen its one verdict of the model.

    Args:
        settings: which images of which table, and which model judges them.
        ticker: told of every part that is written.

    Raises:
        SettingsError: a setting or the condition is refused.
        StorageError: a store failed, or another run holds the table; what is written stays good.
        ModelError: the checkpoint cannot be used.
        LawError: a chosen image has no row, or more than one.
    """
    begun = time.monotonic()
    place = registry.resolve(settings.model, settings.registry)
    model = describe(registry.locate(place))
    ledger = Ledger(storage.join(storage.absolute(settings.table), f"model={model.digest}"))
    asked = Asked(model.digest, settings.where, settings.newer_than, settings.sample)
    demand_table(settings.table)
    with Lease(settings.table) as held:
        storage.sweep(ledger.folder)
        for left in storage.names(storage.join(settings.table, LISTINGS), ".parquet"):
            storage.remove(left)
        repaired = ledger.repair()
        listing = storage.join(storage.absolute(settings.table), LISTINGS, f"{held.generation}.parquet")
        try:
            with opened(settings.table) as views:
                choice = choose(views, asked, listing)
            written = 0
            if choice.images:
                ticker.expect(choice.images)
                wanted = Wanted(settings.max_bytes, settings.image_member, choice.carry)
                work = Work(partial(readings, choice, wanted), memory.snapshot([settings.table]))
                shelf = Shelf(settings.table, ledger.folder, held.generation)
                written = drive(work, Judge(place, model), shelf, settings, ticker)
                repaired += ledger.repair()
            turns = _outcome(settings.table, listing, model.digest)
        finally:
            storage.remove(listing)
    if written < choice.images:
        raise LawError(f"{choice.images:,} images were chosen and {written:,} rows written; start the rescan again")
    return Rescanned(
        table=ledger.folder,
        model=model.digest,
        chosen=choice.images,
        written=written,
        repaired=repaired,
        image_bytes=choice.image_bytes,
        read_bytes=choice.read_bytes,
        seconds=round(time.monotonic() - begun, 3),
        turns=turns,
        law="kept",
    )


def readings(choice: Choice, wanted: Wanted, cores: int) -> list[Reading]:
    """Write a choice as work for Ray: enough tasks for every core, and one for each compressed shard."""
    parts = max(1, ceil(TASKS_A_CORE * cores / choice.groups))
    near = [
        partial(fetch_chosen, choice.url, group, (part, parts), wanted)
        for group in range(choice.groups)
        for part in range(parts)
    ]
    return near + [partial(fetch_entire, choice.url, unit, groups, wanted) for unit, groups in choice.entire]


def _outcome(table: str, listing: str, model: str) -> tuple[Turn, ...]:
    """Hold the chosen images against the law, and say what became of them."""
    with opened(table) as views:
        values = {"listing": listing, "model": model}
        missing, doubled = views.execute(LAW, values).fetchall()[0]
        if missing or doubled:
            raise LawError(f"{missing:,} of the chosen images have no row, {doubled:,} have several; rescan again")
        found = views.execute(OUTCOME, values).fetchall()
    turns: dict[tuple[str, str], int] = {}
    for before, after, status, images in found:
        turn = (before or "no verdict", after or status)
        turns[turn] = turns.get(turn, 0) + images
    return tuple(Turn(*turn, images) for turn, images in turns.items())
