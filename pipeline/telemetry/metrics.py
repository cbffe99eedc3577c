"""Metrics: the Prometheus metrics of a run; Ray's exporter serves them as `ray_<name>`.

Without a Ray connection nothing is recorded. A worker records once per block, not once per image.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.runtime.ray_state import is_connected
from pipeline.storage import retry

PREFIX = "ray_"
"""Ray's prefix of metric names."""
BUCKET_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the histogram's buckets in seconds."""


class MetricKind(StrEnum):
    """Type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric.

    Attributes:
        kind: its type.
        name: without Ray's prefix.
        description: its description.
        tags: its labels, besides those that Ray adds.
    """

    kind: MetricKind
    name: str
    description: str
    tags: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """Its name in Prometheus."""
        return PREFIX + self.name


class Stage(StrEnum):
    """Pipeline stages of a block of images; `WAIT` is a read task's waiting for its scores."""

    READ = "read"
    PREPARE = "prepare"
    WAIT = "wait"
    SCORE = "score"
    CONCLUDE = "conclude"
    WRITE = "write"


IMAGES = Metric(
    MetricKind.COUNTER,
    "mole_scan_images_total",
    "Images whose row is written, by the run's table, model, status and verdict ('none' where nothing was scored)",
    ("table", "model", "status", "verdict"),
)
READ_BYTES = Metric(MetricKind.COUNTER, "mole_scan_read_bytes_total", "Bytes of the image files that were read")
STAGE_SECONDS = Metric(
    MetricKind.HISTOGRAM, "mole_scan_stage_seconds", "Seconds that a stage took for a block of images", ("stage",)
)
RETRIES = Metric(
    MetricKind.COUNTER,
    "mole_scan_store_retries_total",
    "Requests to a store or a web server that were made again after a fault that may pass, by protocol",
    ("protocol",),
)
BATCH_IMAGES = Metric(MetricKind.COUNTER, "mole_scan_batch_images_total", "Images that went through forward passes")
BATCH_CAPACITY = Metric(
    MetricKind.COUNTER,
    "mole_scan_batch_room_total",
    "Images that those forward passes had room for (passes x --batch-size)",
)
WAVES_PLANNED = Metric(
    MetricKind.GAUGE, "mole_scan_waves_planned", "Waves of read tasks of the current pass, at most", ("table",)
)
WAVES_DONE = Metric(
    MetricKind.GAUGE, "mole_scan_waves_done", "Waves of the current pass whose rows are written", ("table",)
)
UNITS_PLANNED = Metric(
    MetricKind.GAUGE, "mole_scan_units_planned", "Shards, files and slices that the current pass began with", ("table",)
)
UNITS_DONE = Metric(
    MetricKind.GAUGE, "mole_scan_units_done", "Those of them whose last row is written by the current pass", ("table",)
)
LEASE_AGE = Metric(
    MetricKind.GAUGE,
    "mole_scan_lease_age_seconds",
    "Seconds since the run last renewed its lease on the table",
    ("table",),
)
METRICS = (
    *(IMAGES, READ_BYTES, STAGE_SECONDS, RETRIES, BATCH_IMAGES, BATCH_CAPACITY),
    *(WAVES_PLANNED, WAVES_DONE, UNITS_PLANNED, UNITS_DONE, LEASE_AGE),
)
"""All metrics."""


def record(metric: Metric, value: float, **tags: str) -> None:
    """Record a value; no-op without a Ray connection.

    Args:
        metric: the metric.
        value: increment of a counter, value of a gauge, or observation of a histogram.
        tags: values of all its labels.
    """
    if not is_connected():
        return
    handle = _handle(metric)
    if metric.kind is MetricKind.GAUGE:
        handle.set(value, tags)
    elif metric.kind is MetricKind.HISTOGRAM:
        handle.observe(value, tags)
    elif value > 0:
        handle.inc(value, tags)


@cache
def _handle(metric: Metric) -> Any:
    """Register a metric with Ray, which has been imported by now, once per process."""
    from ray.util import metrics as exported

    if metric.kind is MetricKind.HISTOGRAM:
        return exported.Histogram(metric.name, metric.description, list(BUCKET_SECONDS), metric.tags)
    kind = exported.Counter if metric.kind is MetricKind.COUNTER else exported.Gauge
    return kind(metric.name, metric.description, metric.tags)


@contextmanager
def record_duration(stage: Stage) -> Iterator[None]:
    """Record the duration of a stage for a block, if it succeeds, and the retries meanwhile."""
    begun = time.perf_counter()
    yield
    record(STAGE_SECONDS, time.perf_counter() - begun, stage=stage)
    record_retries()


def record_retries() -> None:
    """Record this process's retries since the last call."""
    for protocol, times in retry.take_retries().items():
        record(RETRIES, times, protocol=protocol)


def record_reads(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Pass on tables of `FETCHED`, recording the read duration and the bytes of each."""
    while True:
        begun = time.perf_counter()
        table = next(tables, None)
        record_retries()
        if table is None:
            return
        record(STAGE_SECONDS, time.perf_counter() - begun, stage=Stage.READ)
        record(READ_BYTES, pc.sum(pc.binary_length(table["data"])).as_py() or 0)
        yield table
        del table  # else it would stay in memory while the next one is read


def record_batch(images: int, batch_size: int) -> None:
    """Record the images of a scorer call, and the capacity of its forward passes.

    Args:
        images: number of scored images.
        batch_size: images per forward pass.
    """
    record(BATCH_IMAGES, images)
    record(BATCH_CAPACITY, -(-images // batch_size) * batch_size)
