"""Measurement of a sample: the scan's own stages, run one after another in one process, and the time each takes."""

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
from pipeline.scan.forecasting.sample_spec import SampleSpec
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import BLOCK_ROWS
from pipeline.scan.reading.unit import Unit
from pipeline.scan.steps.prepare import choose_decoder, prepare
from pipeline.scan.steps.score import ScoreActor
from pipeline.scan.steps.verdict import conclude
from pipeline.scan.table.part import encode
from pipeline.storage.memory import mount

Facts = dict[str, Any]


@dataclass
class Totals:
    """Running totals; see `forecast.SampleMeasurement`."""

    images: int = 0
    image_bytes: int = 0
    shard_images: int = 0
    shard_bytes: int = 0
    prepare: float = 0.0
    model: float = 0.0
    row_bytes: float = 0.0
    verdicts: list[pa.Table] = field(default_factory=list)

    def facts(self) -> Facts:
        """Return the totals; the bytes of a row are measured on one part with the whole sample."""
        rows = pa.concat_tables(self.verdicts) if self.verdicts else None
        size = 0.0 if rows is None else len(encode(rows)) / max(1, rows.num_rows)
        numbers = {name: value for name, value in vars(self).items() if name != "verdicts"}
        return numbers | {"row_bytes": size}


def measure(spec: SampleSpec, on_scored: Callable[[int], None] | None = None) -> tuple[Facts, float]:
    """Scan some images of each unit, and measure them.

    Args:
        spec: which images, and how they are scanned.
        on_scored: called with the number of images of each block, once it is scored.

    Returns:
        The arguments of `forecast.SampleMeasurement`, and when the detector was loaded, seconds since 1970.

    Raises:
        StorageError: a store stopped answering.
        ModelError: the checkpoint cannot be used.
    """
    mount(spec.memory)
    place, digest = spec.model
    described = describe(registry.locate(place, digest))
    actor = ScoreActor([spec.model], device=spec.device, threads=spec.threads, batch_size=spec.batch_size)
    ready = time.time()
    totals, calibrations = Totals(), {digest: described.calibration}
    decode = choose_decoder(described.preprocess, Bounds(*spec.bounds))
    warm = False
    for unit, block in _blocks(spec, totals):
        started = time.process_time()
        prepared = prepare(block, described.preprocess, decode)
        totals.prepare += time.process_time() - started
        for start in range(0, prepared.num_rows, spec.batch_size):
            batch = prepared.slice(start, spec.batch_size)
            if not warm:  # the first forward pass of a process is slower; a long scan has one
                actor(batch)
                warm = True
            started = time.perf_counter()
            scored = actor(batch)
            totals.model += time.perf_counter() - started
            rows = conclude(scored, calibrations, described.preprocess.fingerprint)
            totals.verdicts.append(rows.drop_columns([MODEL]))
        _count(totals, unit, prepared)
        if on_scored is not None:
            on_scored(prepared.num_rows)
    return totals.facts(), ready


def _blocks(spec: SampleSpec, totals: Totals) -> Iterator[tuple[Unit, pa.Table]]:
    """Read the first images of each unit, and add the CPU time."""
    single = sum(unit.images == 1 for unit in spec.units)
    unit_images = max(1, (spec.images - single) // max(1, len(spec.units) - single))
    for unit in spec.units:
        started = time.process_time()
        tables = list(islice(fetch([unit], spec.options), -(-unit_images // BLOCK_ROWS)))
        totals.prepare += time.process_time() - started
        if tables:
            yield unit, pa.concat_tables(tables).slice(0, unit_images)


def _count(totals: Totals, unit: Unit, rows: pa.Table) -> None:
    totals.images += rows.num_rows
    totals.image_bytes += sum(size or 0 for size in rows["bytes"].to_pylist())
    if unit.images is not None:
        return
    totals.shard_images += rows.num_rows
    ends = [a + b for a, b in zip(rows["offset"].to_pylist(), rows["length"].to_pylist(), strict=True) if a and b]
    if rows["last"].to_pylist()[-1]:
        totals.shard_bytes += unit.size or 0
    else:
        totals.shard_bytes += max(ends, default=sum(size or 0 for size in rows["bytes"].to_pylist()))
