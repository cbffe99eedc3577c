"""Damaged images: reads, decodes and views them as a scan does, in child processes, and names every broken promise.

    python -m tests.fuzzing damaged --count 100000

Each shard of damaged images is written to a file, read by `fetch` and prepared. Broken promises: an exception that
escapes, a process that dies, an image without its one row, a fault without its reason, more CPU time or memory than the
bounds.
"""

import io
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from mole.views.preprocess import Preprocess
from pipeline.images.decode import Bounds
from pipeline.records import Status
from pipeline.runtime.isolation import ForkServer
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.scan.steps.prepare import Decode, Decoded, decode_in_process, prepare
from tests.fuzzing.mutation import image

BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000)
"""As a scan has them by default."""
SPECS = ("crop", "resize+crop", "texture-4")
SHARD = 200
"""Images of one shard, which are read by one child process."""
SAID = frozenset({Status.OK, Status.EMPTY, Status.NOT_AN_IMAGE, Status.TRUNCATED, Status.UNSUPPORTED, Status.TOO_LARGE,
                  Status.TOO_SMALL})  # fmt: skip
"""What a row of a damaged image may say; anything else means that its reader failed."""
MAX_SECONDS = 10.0
"""CPU seconds of an image; the largest legal pictures take 6 (docs/reliability.md)."""
MAX_MEMORY = (1 << 30) + (128 << 20)
"""Bytes above the process: what an image may take to decode, and the views of its block."""


@dataclass
class Tally:
    """What damaged images gave.

    Attributes:
        images: how many there were.
        statuses: rows by status.
        broken: the broken promises.
        slowest: CPU seconds and name of the slowest image.
        largest: bytes above the start, of the shard that took the most.
    """

    images: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: int = 0

    def __str__(self) -> str:
        statuses = ", ".join(f"{status} {count:,}" for status, count in self.statuses.most_common())
        return (
            f"{self.images:,} images: {statuses}; slowest {self.slowest[0]:.2f} s of CPU time ({self.slowest[1]}); "
            f"most memory {self.largest >> 20:,} MiB; promises broken: {len(self.broken)}"
        )

    def add(self, other: "Tally") -> None:
        """Add another tally."""
        self.images += other.images
        self.statuses += other.statuses
        self.broken += other.broken
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)


def try_all(count: int, seed: int = 0, *, workers: int = 1) -> Iterator[Tally]:
    """Try damaged images, a shard at a time.

    Args:
        count: how many.
        seed: the same one gives the same images.
        workers: child processes at a time.

    Yields:
        The tally of each shard; a child that died is a broken promise that names its shard.
    """
    free: SimpleQueue[ForkServer] = SimpleQueue()

    def tried(first: int) -> Tally:
        server = free.get()
        try:
            named = [image(number, seed) for number in range(first, min(first + SHARD, count))]
            outcome = server.call(try_shard, named, SPECS[first // SHARD % len(SPECS)])
        finally:
            free.put(server)
        if not outcome.died:
            return cast(Tally, outcome.results[0])
        return Tally(broken=[f"images {first} to {first + SHARD - 1} of seed {seed}: {outcome.cause}"])

    servers = [ForkServer(__name__, "torch") for _ in range(workers)]
    for server in servers:
        free.put(server)
    try:
        with ThreadPoolExecutor(workers) as threads:
            yield from threads.map(tried, range(0, count, SHARD))
    finally:
        for server in servers:
            server.close()


def try_shard(named: list[tuple[str, bytes]], mode: str) -> Iterator[Tally]:
    """Read and prepare one shard of named images; yields its tally."""
    tally = Tally(len(named))
    start = resident(fresh=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.tar"
        path.write_bytes(tar(named))
        unit = Unit(str(path), str(path), Kind.SHARD)
        spec = Preprocess.named(mode)
        tables = [prepare(table, spec, timed(spec, tally)) for table in fetch([unit], ReadOptions(BOUNDS.max_bytes))]
    tally.largest = resident() - start
    rows = [row for table in tables for row in table.to_pylist()]
    tally.statuses.update(row["status"] for row in rows)
    tally.broken += broken(rows, [name for name, _ in named], tally)
    yield tally


def broken(rows: list[dict[str, Any]], names: list[str], tally: Tally) -> Iterator[str]:
    """Yield every promise that the rows of a shard break."""
    keys = [row["key"] for row in rows]
    if keys != [name.partition(".")[0] for name in names]:
        yield f"{len(keys)} rows for the {len(names)} images from {names[0]} on: {set(keys) ^ set(names)}"
    if [(row["index"], row["last"]) for row in rows] != [(n, n + 1 == len(rows)) for n in range(len(rows))]:
        yield f"the rows from {names[0]} on are not numbered to the last"
    for row in rows:
        if row["status"] not in SAID:
            yield f"{row['key']}: {row['status']}: {row['detail']}"
        if (row["status"] == Status.OK) != (row["pixels"] is not None):
            yield f"{row['key']}: {row['status']}, and pixels are {'there' if row['pixels'] else 'missing'}"
        if row["status"] not in (Status.OK, Status.EMPTY) and not row["detail"]:
            yield f"{row['key']}: {row['status']} without a reason"
    if tally.slowest[0] > MAX_SECONDS:
        yield f"{tally.slowest[1]} took {tally.slowest[0]:.1f} s of CPU time, over {MAX_SECONDS}"
    if tally.largest > MAX_MEMORY:
        yield f"an image from {names[0]} on took {tally.largest >> 20:,} MiB, over {MAX_MEMORY >> 20:,}"


def timed(spec: Preprocess, tally: Tally) -> Decode:
    """Decode as a scan does, and keep the slowest image's CPU time."""
    decode = decode_in_process(spec, BOUNDS)

    def decode_and_time(contents: Sequence[bytes]) -> Iterator[Decoded]:
        for data in contents:
            before = time.process_time()
            [(facts, view)] = decode([data])
            took = time.process_time() - before
            told = f"{len(data):,} bytes beginning {data[:12]!r}, {facts['status']}"
            tally.slowest = max(tally.slowest, (took, told))
            yield facts, view

    return decode_and_time


def tar(named: list[tuple[str, bytes]]) -> bytes:
    """Write an archive of named files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in named:
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            archive.addfile(facts, io.BytesIO(data))
    return held.getvalue()


def resident(*, fresh: bool = False) -> int:
    """Read the most bytes that this process held, counted anew from now on if that is wanted (Linux)."""
    if fresh:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10
