"""The estimate: what a scan of a source would take, from its list and from a sample that is really scanned."""

import random
import time
from collections.abc import Iterable

import psutil
import ray

from mole.config import Description, describe
from mole.errors import SettingsError
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.scan.forecasting.forecast import Counted, Line, Machine, Prices, Sampled, forecast
from pipeline.scan.forecasting.trial import Trial
from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.listed import listed
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Unit
from pipeline.scan.settings import EstimateSettings
from pipeline.scan.workers import survey
from pipeline.storage.memory import snapshot
from pipeline.telemetry.progress_client import counted_phase
from pipeline.telemetry.terminal import ProgressDisplay

PLACES = 16
"""Shards and slices that a sample is drawn from, a few images of each; of single files each is one."""


def estimate(settings: EstimateSettings) -> list[Line]:
    """Forecast what a scan takes on the cluster at hand.

    Args:
        settings: the source, the detector, the prices.

    Raises:
        SettingsError: the source holds nothing to measure.
        StorageError: the source cannot be read.
        ModelError: the checkpoint cannot be used.
    """
    cluster.demand_gpu(settings.device, settings.ray_address)
    model = describe(registry.locate(settings.model))
    begun = time.time()
    source = Source(settings.source, settings.all_files, settings.image_member)
    counted, drawn = count(listed(source.units(), ProgressDisplay.shown()), settings.images, settings.seed)
    listing = time.time() - begun
    if not drawn:
        raise SettingsError(f"--source {settings.source}: there is nothing to measure")
    ProgressDisplay.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.unwrapped_errors(),
    ):
        layout = cluster.lay_out(
            settings.device,
            actors=settings.num_actors,
            batch_size=settings.batch_size,
            rows_per_file=settings.rows_per_file,
            resource=settings.score_resource,
        )
        sampled, ready = _sample(settings, model, drawn, layout)
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


def count(units: Iterable[Unit], most: int, seed: int) -> tuple[Counted, list[Unit]]:
    """Count a source's units, and draw some of them, each as likely as another, in one pass that keeps no more.

    Args:
        units: the source.
        most: units that are drawn; of shards and slices only `PLACES`.
        seed: of the draw.
    """
    chance = random.Random(seed)
    drawn: list[Unit] = []
    number = images = shards = size = 0
    for number, unit in enumerate(units, start=1):
        images += unit.images or 0
        shards += unit.images is None
        size += (unit.size or 0) if unit.images is None else 0
        if len(drawn) < most:
            drawn.append(unit)
        elif (place := chance.randrange(number)) < most:
            drawn[place] = unit
    chance.shuffle(drawn)
    several = [unit for unit in drawn if unit.images != 1]
    return Counted(number, images, shards, size), [unit for unit in drawn if unit.images == 1] + several[:PLACES]


def _sample(
    settings: EstimateSettings, model: Description, drawn: list[Unit], layout: cluster.Layout
) -> tuple[Sampled, float]:
    """Scan a sample in one process of the cluster; tell also when that had its detector ready."""
    trial = Trial(
        units=tuple(drawn),
        images=settings.images,
        wanted=Wanted(settings.max_bytes, settings.image_member),
        bounds=(settings.max_bytes, settings.max_pixels, settings.min_side),
        model=(settings.model, model.digest),
        device=layout.device,
        threads=layout.threads,
        batch_size=layout.batch_size,
        memory=snapshot(settings.source),
    )
    with counted_phase("measuring a sample", None, "images") as reporter:
        measured = ray.remote(**layout.resources)(survey).remote(trial, reporter)
        facts, ready = ray.get(measured)
        ProgressDisplay.shown().reach(facts["images"])
    if not facts["images"]:
        raise SettingsError(f"--source {settings.source}: none of the images that were drawn can be read")
    return Sampled(**facts), ready
