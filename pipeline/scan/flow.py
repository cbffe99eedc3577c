"""The flow of a scan: a row's road from its source to the verdict table, and the law that closes it."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, Dataset

from mole.config import Description, describe
from pipeline import cluster, memory, registry, storage
from pipeline.scan.fetch import UnitSource, Wanted
from pipeline.scan.lease import Lease
from pipeline.scan.ledger import Ledger
from pipeline.scan.plan import Plan, groups, plan
from pipeline.scan.sink import publish
from pipeline.scan.source import Source
from pipeline.scan.verdict import conclude
from pipeline.scan.workers import Scorer, prepare
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
            written = _run(planned, ledger, settings, model, report=ticker, generation=held.generation)
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


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, rows in pairs:
        sums[name] += rows
    return dict(sums.most_common())


def _run(
    planned: Plan, ledger: Ledger, settings: ScanSettings, model: Description, *, report: Ticker, generation: str
) -> int:
    """Run the road and count the rows that it writes."""
    report.expect(planned.images if settings.limit is None else settings.limit)
    written = 0
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        layout = cluster.lay_out(
            settings.device,
            actors=settings.num_actors,
            batch_size=settings.batch_size,
            rows_per_file=settings.rows_per_file,
        )
        cluster.size_blocks(layout.batch_size * model.preprocess.bytes)
        verdicts = road(planned, settings, model, layout)
        write = partial(publish, output=settings.output, folder=ledger.folder, generation=generation)
        parts = verdicts.map_batches(write, batch_size=layout.rows_per_file, batch_format="pyarrow", num_cpus=0)
        tallies: Iterable[pa.Table] = parts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for part in chain.from_iterable(tally.to_pylist() for tally in tallies):
            if part["content"] is not None:
                storage.write(part["file"], part["content"])
            written += part["rows"]
            report.add(part["rows"], part["faults"])
    return written


def road(planned: Plan, settings: ScanSettings, model: Description, layout: cluster.Layout) -> Dataset:
    """Join the steps: units in, verdicts out; nothing runs before the result is read."""
    wanted = Wanted(settings.max_bytes, settings.image_member, settings.carry)
    bounds = (settings.max_bytes, settings.max_pixels, settings.min_side)
    actor = {"model": settings.model, "digest": model.digest, "device": layout.device, "threads": layout.threads}
    work = list(groups(planned.todo, layout.cores))
    source = UnitSource(work, wanted, memory.snapshot(settings.source))

    images: Dataset = ray.data.read_datasource(source, override_num_blocks=len(work))
    images = images if settings.limit is None else images.limit(settings.limit)
    views = images.map_batches(partial(prepare, spec=model.preprocess, bounds=bounds), batch_format="pyarrow")
    scores: Dataset = views.map_batches(
        Scorer,
        fn_constructor_kwargs=actor,
        batch_size=layout.batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=2),
        **layout.resources,
    )
    finish = partial(conclude, calibration=model.calibration, fingerprint=model.preprocess.fingerprint)
    return scores.map_batches(finish, batch_format="pyarrow", num_cpus=0)  # else preparing tasks keep it from writing
