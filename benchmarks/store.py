"""Reading shards out of an object store: this project's stream, s3fs and pyarrow, from a real S3 server on loopback.

    python -m benchmarks.store

Each client reads the same shards from their beginning to their end, one after another, as a fetch task does; the
clients take turns, so that other load of the machine affects all of them.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import s3fs
from pyarrow.fs import S3FileSystem
from rich.console import Console
from rich.table import Table

from pipeline.storage import stream
from tests.stores import REGION, WRITER, s3_server

BUCKET = "bench"
TAKES = 1 << 16
"""Bytes that a reader of a tar takes at a time."""


def main() -> None:
    """Read with each client, in turns, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--mib", type=int, default=100, help="of a shard")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as port:
        os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **WRITER, **REGION}
        keys = write(given.shards, given.mib << 20)
        pyarrow_s3 = S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http")
        clients: dict[str, Callable[[str], Any]] = {
            "this stream: ranged requests, three ahead": lambda key: stream.open_stream(f"s3://{key}"),
            "s3fs, as it opens a file": opened_by_s3fs,
            "s3fs, read-ahead of 8 MiB": lambda key: opened_by_s3fs(key, block_size=stream.REQUEST_BYTES),
            "pyarrow, as it opens a stream": pyarrow_s3.open_input_stream,
            "pyarrow, buffer of 8 MiB": lambda key: pyarrow_s3.open_input_stream(key, buffer_size=stream.REQUEST_BYTES),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
        for _ in range(given.rounds):
            for name, opened in clients.items():
                taken[name].append(read(opened, keys, given.mib << 20))
    show(taken, given.shards * (given.mib << 20))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, s3fs {s3fs.__version__}, pyarrow {pa.__version__}, "
        f"SeaweedFS on loopback, {datetime.now(UTC):%Y-%m-%d}"
    )


def write(shards: int, size: int) -> list[str]:
    """Put shards of random bytes into a bucket, and name them."""
    store = fsspec.filesystem("s3")
    store.mkdir(BUCKET)
    keys = [f"{BUCKET}/{number}.tar" for number in range(shards)]
    for key in keys:
        store.pipe_file(key, os.urandom(size))
    return keys


def opened_by_s3fs(key: str, **how: int) -> Any:
    """Open an object as s3fs does."""
    return fsspec.filesystem("s3").open(key, "rb", **how)


def read(opened: Callable[[str], Any], keys: list[str], size: int) -> tuple[float, float]:
    """Read each object whole: seconds, and seconds of a core in this process."""
    begun, spent = time.perf_counter(), time.process_time()
    for key in keys:
        with opened(key) as file:
            got = sum(map(len, chunks(file)))
        assert got == size, f"{key} has {size} bytes, {got} came"
    return time.perf_counter() - begun, time.process_time() - spent


def chunks(file: Any) -> Iterator[bytes]:
    """Take a file piece by piece to its end."""
    while chunk := file.read(TAKES):
        yield chunk


def show(taken: dict[str, list[tuple[float, float]]], size: int) -> None:
    """Print the median round of each client, compared with the first one."""
    table = Table("client", "MB/s", "slowest - fastest", "of this stream", "core s a GB")
    middle = {name: statistics.median(seconds for seconds, _ in rounds) for name, rounds in taken.items()}
    ours = next(iter(middle.values()))
    for name, rounds in taken.items():
        rates = sorted(size / seconds / 1e6 for seconds, _ in rounds)
        spent = statistics.median(core for _, core in rounds) / size * 1e9
        rate = f"{size / middle[name] / 1e6:.0f}"
        table.add_row(name, rate, f"{rates[0]:.0f} - {rates[-1]:.0f}", f"{ours / middle[name]:.2f}", f"{spent:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
