"""The estimate: time, size and cost of scanning a source, from its listing and a sample that is scanned."""

import random
import time
from collections.abc import Iterable

import psutil
import ray

from mole.config import Description, describe
from mole.errors import SettingsError
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.runtime.machine import require_gpu
from pipeline.scan.forecasting.forecast import Line, Machine, Prices, SampleMeasurement, SourceCounts, forecast
from pipeline.scan.forecasting.sample_spec import SampleSpec
from pipeline.scan.ray_connection import connected
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.listing_progress import show_listing
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Unit
from pipeline.scan.settings import EstimateSettings
from pipeline.scan.workers import measure_sample
from pipeline.storage.memory import snapshot
from pipeline.telemetry.progress_client import counted_phase
from pipeline.telemetry.terminal import ProgressDisplay

MAX_LARGE_UNITS = 16
"""Shards and slices in a sample, with a few images of each; files are sampled one by one."""


def estimate(settings: EstimateSettings) -> list[Line]:
    """Forecast a scan on the connected cluster.

    Args:
        settings: the source, the detector, the prices.

    Raises:
        SettingsError: the source has no image to measure.
        StorageError: the source cannot be read.
        ModelError: the checkpoint cannot be used.
    """
    require_gpu(settings.device, settings.ray_address)
    model = describe(registry.locate(settings.model))
    started = time.time()
    source = Source(settings.source, settings.all_files, settings.image_member)
    counted, sample = count_units(show_listing(source.units(), ProgressDisplay.shown()), settings.images, settings.seed)
    listing = time.time() - started
    if not sample:
        raise SettingsError(f"--source {settings.source}: there is no image to measure")
    ProgressDisplay.shown().enter("starting Ray")
    with connected(settings) as layout:
        sampled, ready = _sample(settings, model, sample, layout)
    start = ready - psutil.Process().create_time() - listing
    machine = Machine(layout.cores, layout.actors, layout.device, max(0.0, start), layout.rows_per_file)
    prices = Prices(
        settings.core_price,
        settings.gpu_price,
        settings.request_price,
        settings.transfer_price,
        settings.storage_price,
    )
    return forecast(counted, sampled, machine, prices)


def count_units(units: Iterable[Unit], max_units: int, seed: int) -> tuple[SourceCounts, list[Unit]]:
    """Count a source's units, and draw a uniform sample of them by reservoir sampling.

    Args:
        units: the source.
        max_units: units that are drawn; of shards and slices at most `MAX_LARGE_UNITS`.
        seed: of the random draw.
    """
    rng = random.Random(seed)
    sample: list[Unit] = []
    number = images = shards = size = 0
    for number, unit in enumerate(units, start=1):
        images += unit.images or 0
        shards += unit.images is None
        size += (unit.size or 0) if unit.images is None else 0
        if len(sample) < max_units:
            sample.append(unit)
        elif (place := rng.randrange(number)) < max_units:
            sample[place] = unit
    rng.shuffle(sample)
    several = [unit for unit in sample if unit.images != 1]
    return SourceCounts(number, images, shards, size), [unit for unit in sample if unit.images == 1] + several[
        :MAX_LARGE_UNITS
    ]


def _sample(
    settings: EstimateSettings, model: Description, sample: list[Unit], layout: cluster.Layout
) -> tuple[SampleMeasurement, float]:
    """Scan a sample in one process of the cluster; returns also when its detector was loaded, seconds since 1970."""
    spec = SampleSpec(
        units=tuple(sample),
        images=settings.images,
        options=ReadOptions(settings.max_bytes, settings.image_member),
        bounds=(settings.max_bytes, settings.max_pixels, settings.min_side),
        model=(registry.absolute(settings.model), model.digest),
        device=layout.device,
        threads=layout.threads,
        batch_size=layout.batch_size,
        memory=snapshot(settings.source),
    )
    with counted_phase("measuring a sample", None, "images") as reporter:
        measured = ray.remote(**layout.resources)(measure_sample).remote(spec, reporter)
        facts, ready = ray.get(measured)
        ProgressDisplay.shown().reach(facts["images"])
    if not facts["images"]:
        raise SettingsError(f"--source {settings.source}: none of the images that were drawn can be read")
    return SampleMeasurement(**facts), ready
