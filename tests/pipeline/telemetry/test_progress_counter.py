"""What workers tell arrives without waiting, each image counts once, and a wave that is over counts no more."""

import time
from typing import Any

import pyarrow as pa
import pytest
import ray

from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter, WorkerProgress


def test_a_message_of_a_wave_before_is_too_late() -> None:
    counter = ProgressCounter()
    counter.loaded(1)
    counter.scored(1, 5)
    counter.ended(1, "a.tar#1", 30)
    counter.ended(1, "a.tar#1", 30)  # the task began again
    counter.concluded(1, {("ok", "real"): 4})
    counter.concluded(1, {("ok", "real"): 1, ("empty", None): 1})
    assert counter.snapshot(1) == WorkerProgress(1, 5, counter.snapshot(1).outcomes, {"a.tar#1": 30})
    assert counter.snapshot(1).outcomes == {("ok", "real"): 5, ("empty", None): 1}
    assert counter.snapshot(2) == WorkerProgress(), "whoever asks about a wave begins it"
    counter.scored(1, 7)
    assert counter.snapshot(2) == WorkerProgress() and counter.snapshot(1) == WorkerProgress()
    counter.reached(3, 12)
    counter.reached(3, 10)  # from a checkpoint
    assert counter.snapshot(3).scored == 10


@pytest.mark.usefixtures("local_ray")
def test_workers_tell_an_actor_of_one_model_and_wait_for_no_answer() -> None:
    actor: Any = ray.remote(ProgressCounter)
    counter = actor.options(num_cpus=0).remote()
    reporter = ProgressReporter(counter, 1, "new")
    rows = pa.table(
        {"model": ["new", "new", "old"], "status": ["ok", "empty", "ok"], "verdict": ["real", None, "real"]}
    )
    reporter.loaded()
    for _ in range(5):
        reporter.scored(16)  # the first is told, the others within its second are kept for later
    reporter.concluded(rows)
    reporter.concluded(rows.slice(2))
    reporter.ended("a.tar#1", 3)
    seen = ray.get(counter.snapshot.remote(1))
    assert (seen.loaded, seen.scored, seen.ended) == (1, 16, {"a.tar#1": 3})
    assert seen.outcomes == {("ok", "real"): 1, ("empty", None): 1}
    reporter._sent_at -= 1
    reporter.scored(16)
    assert ray.get(counter.snapshot.remote(1)).scored == 96
    ray.kill(counter)
    begun = time.monotonic()
    reporter.loaded()  # nobody hears it, and nobody is harmed
    assert time.monotonic() - begun < 5
