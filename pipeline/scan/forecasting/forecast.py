"""A forecast: from what a sample took to what the whole source will take, each number with its arithmetic."""

from dataclasses import dataclass

HOUR = 3600.0
PAGE = 1000
"""Keys of one answer to a listing."""
PIECE = 8 << 20
"""Bytes of one ranged request of a shard; each shard is also looked at once."""
A_FILE = 2
"""Requests of a file that is read alone: one that looks and one that reads."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class Counted:
    """What a source's list tells.

    Attributes:
        units: shards, files and slices.
        images: images that the list itself counts: files and rows of listings.
        shards: shards, whose images must be estimated.
        shard_bytes: what those hold together.
    """

    units: int
    images: int
    shards: int
    shard_bytes: int


@dataclass(frozen=True)
class Sampled:
    """What a sample of images took, on one machine.

    Attributes:
        images: how many were read.
        image_bytes: what they hold together.
        shard_images: how many of them lie in shards.
        shard_bytes: bytes of those shards that they cover, headers and other members with them.
        prepare: core-seconds of reading and preparing.
        model: seconds of the forward passes.
        row_bytes: bytes of the table that their rows take.
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
    """Where the scan would run.

    Attributes:
        cores: of all machines.
        scorers: how many detectors score side by side.
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
    """What things cost, in one currency.

    Attributes:
        core: a core for an hour.
        gpu: a GPU for an hour.
        requests: 1,000 requests.
        transfer: a gigabyte read.
        storage: a gigabyte of the table for a month.
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
        what: what is needed.
        amount: how much.
        unit: of what.
        cost: what it costs, None where nothing is paid for it.
        arithmetic: how the number came about.
    """

    what: str
    amount: float
    unit: str
    cost: float | None
    arithmetic: str


def forecast(counted: Counted, sampled: Sampled, machine: Machine, prices: Prices) -> list[Line]:
    """Compute what a whole source takes.

    Args:
        counted: what the source's list tells.
        sampled: what a sample took; at least one image.
        machine: where the scan would run.
        prices: what things cost.

    Returns:
        Images, bytes, core-hours, model-hours, requests, table, seconds; then the sum of the costs.
    """
    in_shards = counted.shard_bytes * sampled.shard_images / sampled.shard_bytes if sampled.shard_bytes else 0.0
    images = counted.images + in_shards
    told = f"{counted.images:,} listed"
    if counted.shards:
        share = sampled.shard_bytes / max(1, sampled.shard_images)
        told += f" + {counted.shard_bytes:,} bytes of shards / {share:,.0f} bytes an image"
    lines = [Line("images", images, "images", None, told)]

    size = sampled.image_bytes / sampled.images
    read = counted.shard_bytes + counted.images * size
    lines.append(
        Line(
            "read",
            read / GIGABYTE,
            "GB",
            read / GIGABYTE * prices.transfer,
            f"{counted.shard_bytes:,} bytes of shards + {counted.images:,} images x {size:,.0f} bytes",
        )
    )
    each = sampled.prepare / sampled.images
    cores = images * each / HOUR
    lines.append(_hours("prepare", cores, "core-hours", prices.core, images, each))
    pass_ = sampled.model / sampled.images
    on_gpu = machine.device == "cuda"
    threads = 1 if on_gpu else machine.cores / machine.scorers
    model = images * pass_ * threads / HOUR
    unit, price = ("GPU-hours", prices.gpu) if on_gpu else ("core-hours", prices.core)
    lines.append(_hours("score", model, unit, price, images, pass_ * threads))

    gets = counted.shard_bytes / PIECE + counted.shards + A_FILE * counted.images + counted.units / PAGE
    puts = images / machine.rows_per_file
    lines.append(
        Line(
            "requests",
            gets + puts,
            "requests",
            (gets + puts) / 1000 * prices.requests,
            f"{counted.shard_bytes:,} bytes / {PIECE >> 20} MiB + {counted.shards:,} shards + {A_FILE} x "
            f"{counted.images:,} images + {counted.units:,} units / {PAGE:,} + {images:,.0f} rows / "
            f"{machine.rows_per_file:,}",
        )
    )
    table = images * sampled.row_bytes
    lines.append(
        Line(
            "table",
            table / GIGABYTE,
            "GB",
            table / GIGABYTE * prices.storage,
            f"{images:,.0f} rows x {sampled.row_bytes:,.0f} bytes",
        )
    )
    decoding, scoring = images * each / machine.cores, images * pass_ / machine.scorers
    busy = max(decoding, scoring) if on_gpu else decoding + scoring
    joined = "or, where longer," if on_gpu else "+"
    lines.append(
        Line(
            "time here",
            machine.start + busy,
            "seconds",
            None,
            f"start {machine.start:,.0f} s + prepare {decoding:,.0f} s {joined} score {scoring:,.0f} s, on "
            f"{machine.cores} cores, {machine.scorers} scorers",
        )
    )
    total = sum(line.cost or 0.0 for line in lines)
    return [*lines, Line("cost", total, "", total, " + ".join(f"{line.cost:,.2f}" for line in lines if line.cost))]


def _hours(what: str, hours: float, unit: str, price: float, images: float, each: float) -> Line:
    return Line(what, hours, unit, hours * price, f"{images:,.0f} images x {each:.4f} s / 3,600, at {price:g} an hour")
