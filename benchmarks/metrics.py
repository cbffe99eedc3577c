"""Metrics: the time of recording metrics for Prometheus, compared with preparing the block that they count.

    python -m benchmarks.metrics [--images 64] [--pairs 15]

A block of the sample's images is prepared in turns without metrics and with them, in a process connected to a local
Ray. The metrics' own time is printed too, since it is far below the difference of two turns.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from mole.views.preprocess import Preprocess
from pipeline.images.decode import Bounds
from pipeline.records import FETCHED
from pipeline.runtime import cluster
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.steps.prepare import decode_in_process, prepare
from pipeline.telemetry import metrics

SAMPLE = Path(__file__).resolve().parent.parent / "examples/shards/sample-00000.tar"
TIMES = 10_000
BOUNDS = (1 << 30, 100_000_000, 32)


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Time some work."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def block(images: int) -> pa.Table:
    """Read the sample's sound images, again and again until there are enough."""
    read = pa.concat_tables(fetch(list(Source([str(SAMPLE)]).units()), ReadOptions(BOUNDS[0])))
    sound = [row for row in read.to_pylist() if row["data"] and len(row["data"]) > 10_000]
    return pa.Table.from_pylist([sound[place % len(sound)] for place in range(images)], FETCHED)


def main(arguments: list[str]) -> None:
    """Prepare a block by turns, and time each metric alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64, help="of a block: four batches of 16")
    parser.add_argument("--pairs", type=int, default=15)
    given = parser.parse_args(arguments)
    spec = Preprocess()
    decode, fetched = decode_in_process(spec, Bounds(*BOUNDS)), block(given.images)

    def bare() -> None:
        prepare(fetched, spec, decode)

    def measured() -> None:
        _recorded(fetched, given.images, bare)

    cluster.quiet(logs=False)
    with cluster.connected("local", logs=False):
        pairs = [(seconds(bare), seconds(measured)) for _ in range(given.pairs + 1)][1:]
        one = seconds(lambda: metrics.record(metrics.STAGE_SECONDS, 0.1, stage=metrics.Stage.READ), TIMES)
        two = seconds(lambda: metrics.record(metrics.READ_BYTES, 1), TIMES)
        block_s = seconds(lambda: _recorded(fetched, given.images, lambda: None), TIMES)
    alone = statistics.median(bare for bare, _ in pairs)
    more = statistics.median(measured / bare - 1 for bare, measured in pairs)
    print(f"a block of {given.images} images: {1e3 * alone:.1f} ms to prepare, with its metrics {more:+.2%} (median)")
    print(f"one observation {1e6 * one:.1f} us, one count {1e6 * two:.1f} us")
    print(f"all metrics of a block {1e6 * block_s:.0f} us: {block_s / alone:.3%} of preparing it")
    print(f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


def _recorded(fetched: pa.Table, images: int, work: Callable[[], None]) -> None:
    """Record all metrics of a block, and do `work` as its preparing."""
    for _ in metrics.record_reads(iter([fetched])):
        with metrics.record_duration(metrics.Stage.PREPARE):
            work()
    for stage in (metrics.Stage.SCORE, metrics.Stage.CONCLUDE):
        with metrics.record_duration(stage):
            pass
    metrics.record_batch(images, 16)


if __name__ == "__main__":
    main(sys.argv[1:])
