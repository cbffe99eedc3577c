"""Forecast: extrapolates a sample to the whole source, each number with its arithmetic."""

from dataclasses import dataclass

from pipeline.telemetry.printable import counted

SECONDS_PER_HOUR = 3600.0
KEYS_PER_PAGE = 1000
"""Keys of one response to a list request."""
REQUEST_BYTES = 8 << 20
"""Bytes of one ranged request of a shard; each shard takes one more request for its metadata."""
REQUESTS_PER_FILE = 2
"""Requests for a single file: its metadata and its bytes."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class SourceCounts:
    """The counts of a source's listing.

    Attributes:
        units: shards, files and slices.
        images: images known without reading: files and rows of listings.
        shards: shards, whose number of images must be estimated.
        shard_bytes: their bytes.
    """

    units: int
    images: int
    shards: int
    shard_bytes: int


@dataclass(frozen=True)
class SampleMeasurement:
    """The measurement of a sample, on one machine.

    Attributes:
        images: images that were read.
        image_bytes: their bytes.
        shard_images: how many of them are in shards.
        shard_bytes: bytes of those shards up to the last image read, headers and other members included.
        prepare: core-seconds of reading and preparing.
        model: seconds of the forward passes.
        row_bytes: bytes of a row in the table.
    """

    images: int
    image_bytes: int
    shard_images: int
    shard_bytes: int
    prepare: float
    model: float
    row_bytes: float


@dataclass(frozen=True)
class Machine:
    """The cluster that the scan would run on.

    Attributes:
        cores: cores of all machines.
        scorers: scoring actors.
        device: `cuda` or `cpu`.
        start: seconds until the first image is scored: Ray, torch, the detector.
        rows_per_file: rows a part.
    """

    cores: int
    scorers: int
    device: str
    start: float
    rows_per_file: int


@dataclass(frozen=True)
class Prices:
    """Prices, in one currency.

    Attributes:
        core: price per core-hour.
        gpu: price per GPU-hour.
        requests: price per 1,000 requests.
        transfer: price per gigabyte read.
        storage: price per gigabyte-month of the table.
    """

    core: float
    gpu: float
    requests: float
    transfer: float
    storage: float


@dataclass(frozen=True)
class Line:
    """One line of a forecast.

    Attributes:
        what: the resource.
        amount: how much of it.
        unit: the unit of the amount.
        cost: its cost; None where it has no price.
        arithmetic: how the amount was computed.
    """

    what: str
    amount: float
    unit: str
    cost: float | None
    arithmetic: str


def forecast(counted: SourceCounts, sampled: SampleMeasurement, machine: Machine, prices: Prices) -> list[Line]:
    """Extrapolate a sample to the whole source.

    Args:
        counted: the counts of the source's listing.
        sampled: the measurement of a sample of at least one image.
        machine: the cluster that the scan would run on.
        prices: of resources.

    Returns:
        Images, bytes, core-hours, model-hours, requests, table, seconds; then the total cost.
    """
    images = counted.images + _images_in_shards(counted, sampled)
    lines = [
        Line("images", images, "images", None, _images_arithmetic(counted, sampled)),
        _read(counted, sampled, prices),
        *_compute(images, sampled, machine, prices),
        _requests(images, counted, machine, prices),
        _table(images, sampled, prices),
        _time(images, sampled, machine),
    ]
    total = sum(line.cost or 0.0 for line in lines)
    return [*lines, Line("cost", total, "", total, " + ".join(f"{line.cost:,.2f}" for line in lines if line.cost))]


def _images_in_shards(counted: SourceCounts, sampled: SampleMeasurement) -> float:
    """Estimate the images of all shards from the bytes of an image in the sample's."""
    return counted.shard_bytes * sampled.shard_images / sampled.shard_bytes if sampled.shard_bytes else 0.0


def _images_arithmetic(counted: SourceCounts, sampled: SampleMeasurement) -> str:
    listed = f"{counted.images:,} listed"
    if not counted.shards:
        return listed
    each = sampled.shard_bytes / max(1, sampled.shard_images)
    return f"{listed} + {counted.shard_bytes:,} bytes of shards / {each:,.0f} bytes an image"


def _read(counted: SourceCounts, sampled: SampleMeasurement, prices: Prices) -> Line:
    size = sampled.image_bytes / sampled.images
    gigabytes = (counted.shard_bytes + counted.images * size) / GIGABYTE
    arithmetic = f"{counted.shard_bytes:,} bytes of shards + {counted.images:,} images x {size:,.0f} bytes"
    return Line("read", gigabytes, "GB", gigabytes * prices.transfer, arithmetic)


def _compute(images: float, sampled: SampleMeasurement, machine: Machine, prices: Prices) -> list[Line]:
    """Forecast the core-hours of preparing, and the GPU-hours or core-hours of scoring."""
    prepare, model = sampled.prepare / sampled.images, sampled.model / sampled.images
    if machine.device == "cuda":
        score = _hours("score", "GPU-hours", prices.gpu, images, model)
    else:
        score = _hours("score", "core-hours", prices.core, images, model * (machine.cores / machine.scorers))
    return [_hours("prepare", "core-hours", prices.core, images, prepare), score]


def _requests(images: float, counted: SourceCounts, machine: Machine, prices: Prices) -> Line:
    gets = (
        counted.shard_bytes / REQUEST_BYTES
        + counted.shards
        + REQUESTS_PER_FILE * counted.images
        + counted.units / KEYS_PER_PAGE
    )
    requests = gets + images / machine.rows_per_file
    arithmetic = (
        f"{counted.shard_bytes:,} bytes / {REQUEST_BYTES >> 20} MiB + {counted.shards:,} shards + "
        f"{REQUESTS_PER_FILE} x {counted.images:,} images + {counted.units:,} units / {KEYS_PER_PAGE:,} + "
        f"{images:,.0f} rows / {machine.rows_per_file:,}"
    )
    return Line("requests", requests, "requests", requests / 1000 * prices.requests, arithmetic)


def _table(images: float, sampled: SampleMeasurement, prices: Prices) -> Line:
    gigabytes = images * sampled.row_bytes / GIGABYTE
    arithmetic = f"{images:,.0f} rows x {sampled.row_bytes:,.0f} bytes"
    return Line("table", gigabytes, "GB", gigabytes * prices.storage, arithmetic)


def _time(images: float, sampled: SampleMeasurement, machine: Machine) -> Line:
    """Forecast the seconds on this cluster: a GPU scores while cores prepare; without one, both share the cores."""
    prepare = images * (sampled.prepare / sampled.images) / machine.cores
    score = images * (sampled.model / sampled.images) / machine.scorers
    on_gpu = machine.device == "cuda"
    busy = max(prepare, score) if on_gpu else prepare + score
    joined = "or, where longer," if on_gpu else "+"
    arithmetic = (
        f"start {machine.start:,.0f} s + prepare {prepare:,.0f} s {joined} score {score:,.0f} s, on "
        f"{counted(machine.cores, 'core')}, {counted(machine.scorers, 'scorer')}"
    )
    return Line("time here", machine.start + busy, "seconds", None, arithmetic)


def _hours(what: str, unit: str, price: float, images: float, each: float) -> Line:
    hours = images * each / SECONDS_PER_HOUR
    priced = f"at {price:g} an hour" if price else "no price given"
    return Line(what, hours, unit, hours * price, f"{images:,.0f} images x {each:.4f} s / 3,600, {priced}")
