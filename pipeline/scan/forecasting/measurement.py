"""A survey of a sample: the scan's own steps, run one after the other in one process, and what each of them took."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa

from mole.config import describe
from pipeline import registry
from pipeline.images.decode import Bounds
from pipeline.records import MODEL
from pipeline.scan.forecasting.sample_spec import Trial
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import BLOCK_ROWS
from pipeline.scan.reading.unit import Unit
from pipeline.scan.steps.prepare import chosen, prepare
from pipeline.scan.steps.score import ScoreActor
from pipeline.scan.steps.verdict import conclude
from pipeline.scan.table.parquet_sink import encode
from pipeline.storage.memory import mount

Facts = dict[str, Any]


@dataclass
class Taken:
    """What the steps have taken so far; see `forecast.Sampled`."""

    images: int = 0
    image_bytes: int = 0
    shard_images: int = 0
    shard_bytes: int = 0
    prepare: float = 0.0
    model: float = 0.0
    row_bytes: float = 0.0
    verdicts: list[pa.Table] = field(default_factory=list)

    def facts(self) -> Facts:
        """Write the numbers; a row's bytes are those of one part that holds all of the sample."""
        rows = pa.concat_tables(self.verdicts) if self.verdicts else None
        size = 0.0 if rows is None else len(encode(rows)) / max(1, rows.num_rows)
        numbers = {name: value for name, value in vars(self).items() if name != "verdicts"}
        return numbers | {"row_bytes": size}


def measure(trial: Trial, told: Callable[[int], None] | None = None) -> tuple[Facts, float]:
    """Scan some images of each unit.

    Args:
        trial: which, and how.
        told: how many images each block had, once it is scored.

    Returns:
        The arguments of `forecast.Sampled`, and when the detector was ready, seconds since 1970.

    Raises:
        StorageError: a store stopped answering.
        ModelError: the checkpoint cannot be used.
    """
    mount(trial.memory)
    place, digest = trial.model
    described = describe(registry.locate(place, digest))
    actor = ScoreActor([trial.model], device=trial.device, threads=trial.threads, batch_size=trial.batch_size)
    ready = time.time()
    taken, calibrations = Taken(), {digest: described.calibration}
    look = chosen(described.preprocess, Bounds(*trial.bounds))
    warm = False
    for unit, block in _blocks(trial, taken):
        begun = time.process_time()
        prepared = prepare(block, described.preprocess, look)
        taken.prepare += time.process_time() - begun
        for start in range(0, prepared.num_rows, trial.batch_size):
            batch = prepared.slice(start, trial.batch_size)
            if not warm:  # the first pass of a process is slower, and a long scan has one
                actor(batch)
                warm = True
            begun = time.perf_counter()
            scored = actor(batch)
            taken.model += time.perf_counter() - begun
            rows = conclude(scored, calibrations, described.preprocess.fingerprint)
            taken.verdicts.append(rows.drop_columns([MODEL]))
        _count(taken, unit, prepared)
        if told is not None:
            told(prepared.num_rows)
    return taken.facts(), ready


def _blocks(trial: Trial, taken: Taken) -> Iterator[tuple[Unit, pa.Table]]:
    """Read the first images of each unit, and count the core's time that it takes."""
    single = sum(unit.images == 1 for unit in trial.units)
    most = max(1, (trial.images - single) // max(1, len(trial.units) - single))
    for unit in trial.units:
        begun = time.process_time()
        tables = list(islice(fetch([unit], trial.wanted), -(-most // BLOCK_ROWS)))
        taken.prepare += time.process_time() - begun
        if tables:
            yield unit, pa.concat_tables(tables).slice(0, most)


def _count(taken: Taken, unit: Unit, rows: pa.Table) -> None:
    taken.images += rows.num_rows
    taken.image_bytes += sum(size or 0 for size in rows["bytes"].to_pylist())
    if unit.images is not None:
        return
    taken.shard_images += rows.num_rows
    ends = [a + b for a, b in zip(rows["offset"].to_pylist(), rows["length"].to_pylist(), strict=True) if a and b]
    if rows["last"].to_pylist()[-1]:
        taken.shard_bytes += unit.size or 0
    else:
        taken.shard_bytes += max(ends, default=sum(size or 0 for size in rows["bytes"].to_pylist()))
