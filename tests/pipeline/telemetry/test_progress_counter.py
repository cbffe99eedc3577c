"""What workers tell arrives without waiting, each image counts once, and a wave that is over counts no more."""

import time
from typing import Any

import pyarrow as pa
import pytest
import ray

from pipeline.telemetry.tally import Seen, Tally, Teller


def test_a_message_of_a_wave_before_is_too_late() -> None:
    tally = Tally()
    tally.loaded(1)
    tally.scored(1, 5)
    tally.ended(1, "a.tar#1", 30)
    tally.ended(1, "a.tar#1", 30)  # the task began again
    tally.concluded(1, {("ok", "real"): 4})
    tally.concluded(1, {("ok", "real"): 1, ("empty", None): 1})
    assert tally.look(1) == Seen(1, 5, tally.look(1).outcomes, {"a.tar#1": 30})
    assert tally.look(1).outcomes == {("ok", "real"): 5, ("empty", None): 1}
    assert tally.look(2) == Seen(), "whoever asks about a wave begins it"
    tally.scored(1, 7)
    assert tally.look(2) == Seen() and tally.look(1) == Seen()
    tally.reached(3, 12)
    tally.reached(3, 10)  # from a checkpoint
    assert tally.look(3).scored == 10


@pytest.mark.usefixtures("local_ray")
def test_workers_tell_an_actor_of_one_model_and_wait_for_no_answer() -> None:
    actor: Any = ray.remote(Tally)
    tally = actor.options(num_cpus=0).remote()
    teller = Teller(tally, 1, "new")
    rows = pa.table(
        {"model": ["new", "new", "old"], "status": ["ok", "empty", "ok"], "verdict": ["real", None, "real"]}
    )
    teller.loaded()
    for _ in range(5):
        teller.scored(16)  # the first is told, the others within its second are kept for later
    teller.concluded(rows)
    teller.concluded(rows.slice(2))
    teller.ended("a.tar#1", 3)
    seen = ray.get(tally.look.remote(1))
    assert (seen.loaded, seen.scored, seen.ended) == (1, 16, {"a.tar#1": 3})
    assert seen.outcomes == {("ok", "real"): 1, ("empty", None): 1}
    teller._told_at -= 1
    teller.scored(16)
    assert ray.get(tally.look.remote(1)).scored == 96
    ray.kill(tally)
    begun = time.monotonic()
    teller.loaded()  # nobody hears it, and nobody is harmed
    assert time.monotonic() - begun < 5
