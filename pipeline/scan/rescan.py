"""The flow of a rescan: a query of the verdict table, the images that it chooses, and the law over those."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

from mole.config import demand_shared_backbone, describe
from mole.errors import CompletenessError
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.scan.budget import Budget
from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.reread import fetch_chosen, fetch_entire
from pipeline.scan.road import Judge, Reading, drive, paved
from pipeline.scan.settings import RescanSettings
from pipeline.scan.table.choice import Asked, Choice, choose
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger, literal
from pipeline.scan.table.sink import Files, partition
from pipeline.scan.table.views import demand_table, opened
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay

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
        law: `kept`, or `open` where `--max-images` or `--max-hours` ended the run before all of them were judged.
        stopped: which of the two did; None where all are judged.
        left: chosen images that are not judged.
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
    turns: tuple[Turn, ...]
    law: str
    stopped: str | None
    left: int
    thresholds: tuple[float, float]


def rescan(settings: RescanSettings, progress: ProgressDisplay) -> Rescanned:
    """Give each image that is chosen its one verdict of the model.

    Args:
        settings: which images of which table, and which model judges them.
        progress: told of every part that is written.

    Raises:
        SettingsError: a setting or the condition is refused.
        StorageError: a store failed, or another run holds the table; what is written stays good.
        ModelError: the checkpoint cannot be used.
        CompletenessError: a chosen image has no row, or more than one.
    """
    begun, budget = time.monotonic(), Budget.of(settings)
    cluster.demand_gpu(settings.device, settings.ray_address)
    places = [registry.resolve(model, settings.registry) for model in (settings.model, settings.shadow) if model]
    judges = [Judge(place, describe(registry.locate(place))) for place in places]
    demand_shared_backbone([judge.described for judge in judges])
    digests = [judge.described.digest for judge in judges]
    ledgers = [Ledger(partition(settings.table, digest)) for digest in digests]
    demand_table(settings.table)
    with Lease(settings.table) as held:
        for ledger in ledgers:
            storage.sweep(ledger.folder)
        for left in storage.names(storage.join(settings.table, LISTINGS), ".parquet"):
            storage.remove(left)
        repaired = sum(ledger.repair() for ledger in ledgers)
        listing = storage.join(storage.absolute(settings.table), LISTINGS, f"{held.generation}.parquet")
        passes: list[Pass] = []
        # what no judge has seen goes to all of them at once, then each gets what it alone lacks
        for team in [judges, *([judge] for judge in judges if len(judges) > 1)]:
            here = replace(budget, images=budget.left(sum(one.written for one in passes)))
            try:
                passes.append(_pass(settings, team, listing, held, (progress, here)))
                repaired += sum(ledger.repair() for ledger in ledgers) if passes[-1].written else 0
                law = [_outcome(settings.table, listing, judge.described.digest, passes[-1].left) for judge in team]
            finally:
                storage.remove(listing)
            passes[-1].turns = law[0] if team[0] is judges[0] else Counter()
    written, remaining = sum(one.written for one in passes), sum(one.left for one in passes)
    return Rescanned(
        table=ledgers[0].folder,
        model=digests[0],
        chosen=sum(one.choice.images for one in passes),
        written=written,
        repaired=repaired,
        image_bytes=sum(one.choice.image_bytes for one in passes),
        read_bytes=sum(one.choice.read_bytes for one in passes),
        seconds=round(time.monotonic() - begun, 3),
        turns=tuple(Turn(*turn, images) for turn, images in sum((one.turns for one in passes), Counter()).items()),
        law="open" if remaining else "kept",
        stopped=budget.spent(written) if remaining else None,
        left=remaining,
        thresholds=judges[0].described.calibration.thresholds(settings.prevalence),
    )


@dataclass
class Pass:
    """Images that were chosen for some judges, and what became of them."""

    choice: Choice
    written: int
    turns: Counter[tuple[str, str]]

    @property
    def left(self) -> int:
        """Chosen images that were not judged, since the run ended by itself."""
        return self.choice.images - self.written


def _pass(
    settings: RescanSettings, team: Sequence[Judge], listing: str, held: Lease, told: tuple[ProgressDisplay, Budget]
) -> Pass:
    """Choose what none of some judges has seen, and let them judge it, as far as the budget goes."""
    progress, budget = told
    models = tuple(judge.described.digest for judge in team)
    progress.enter("choosing images")
    with opened(settings.table) as views:
        choice = choose(views, Asked(models, settings.where, settings.newer_than, settings.sample), listing)
    if not choice.images or budget.spent(0):
        return Pass(choice, 0, Counter())
    progress.expect(progress.images + (choice.images if budget.images is None else min(choice.images, budget.images)))
    wanted = Wanted(settings.max_bytes, settings.image_member, choice.carry)
    ledger = Ledger(partition(settings.table, models[0]))
    with paved(settings, held, Files(settings.table), ledger, [settings.table], progress) as paving:
        road = replace(paving, until=budget.until)
        road.gauges.plan(waves=1, units=0)
        written = drive(road, readings(choice, wanted, road.layout.cores), team, units=[], limit=budget.images)
        road.gauges.wave_done()
    if written < choice.images and not budget.spent(written):
        raise CompletenessError(
            f"{choice.images:,} images were chosen and {written:,} rows written; start the rescan again"
        )
    return Pass(choice, written, Counter())


def readings(choice: Choice, wanted: Wanted, cores: int) -> list[Reading]:
    """Write a choice as work for Ray: enough tasks for every core, and one for each compressed shard."""
    parts = max(1, ceil(TASKS_A_CORE * cores / choice.groups))
    near = [
        partial(fetch_chosen, choice.url, group, (part, parts), wanted)
        for group in range(choice.groups)
        for part in range(parts)
    ]
    return near + [partial(fetch_entire, choice.url, unit, groups, wanted) for unit, groups in choice.entire]


def _outcome(table: str, listing: str, model: str, left: int) -> Counter[tuple[str, str]]:
    """Hold the chosen images against the law, but for those that were left, and say what became of them."""
    with opened(table) as views:
        values = {"listing": literal(listing), "model": model}
        missing, doubled = views.execute(LAW, values).fetchall()[0]
        if missing > left or doubled:
            raise CompletenessError(
                f"{missing:,} of the chosen images have no row, {doubled:,} have several; rescan again"
            )
        found = views.execute(OUTCOME, values).fetchall()
    turns: Counter[tuple[str, str]] = Counter()
    for before, after, status, images in found:
        turns[before or "no verdict", after or status] += images
    return turns
