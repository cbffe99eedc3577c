"""What it costs to tell the counter: microseconds a message for who sends it, and how many a second one actor takes.

    python -m benchmarks.progress_counter --senders 2 --messages 2000

A scan sends a message for each block of a scorer's call (four batches: 1,024 images on a GPU), and each scorer
one a second.
"""

import argparse
import time
from typing import Any

import pyarrow as pa
import ray

from pipeline.runtime import cluster
from pipeline.telemetry.progress_client import progress_counter
from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay

ROWS = 1024


@ray.remote(num_cpus=0)
def send(reporter: ProgressReporter, messages: int) -> float:
    """Tell of so many blocks; seconds."""
    verdicts = [("real", "generated", "unsure")[row % 3] for row in range(ROWS)]
    rows = pa.table({"model": ["m"] * ROWS, "status": ["ok"] * ROWS, "verdict": verdicts})
    begun = time.perf_counter()
    for _ in range(messages):
        reporter.concluded(rows)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--messages", type=int, default=2000)
    given = parser.parse_args()
    cluster.quiet(logs=False)
    with (
        cluster.connected("local", logs=False),
        ProgressDisplay(quiet=True) as progress,
        progress_counter(progress) as counter,
    ):
        reporter: Any = ProgressReporter(counter, 1, "m")
        ray.get([send.remote(reporter, 1) for _ in range(given.senders)])
        begun = time.perf_counter()
        seconds = ray.get([send.remote(reporter, given.messages) for _ in range(given.senders)])
        expected = given.senders * (given.messages + 1) * ROWS
        while ray.get(counter.snapshot.remote(1)).outcomes.total() < expected:
            time.sleep(0.01)
        taken = time.perf_counter() - begun
    rate = given.senders * given.messages / taken
    print(f"{1e6 * sum(seconds) / given.senders / given.messages:,.0f} us a message of {ROWS} rows for its sender")
    print(f"{rate:,.0f} messages/s taken by one actor: {rate * ROWS:,.0f} images/s")


if __name__ == "__main__":
    main()
