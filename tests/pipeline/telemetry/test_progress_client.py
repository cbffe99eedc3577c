"""A driver that asks what its workers have told waits for nobody, and lives on where nobody answers."""

import time
from typing import Any

import pytest
import ray

from pipeline.telemetry.asking import Asker, counting, tallied
from pipeline.telemetry.tally import Teller
from pipeline.telemetry.terminal import Ticker


@pytest.mark.usefixtures("local_ray")
def test_a_phase_shows_how_far_workers_are_while_it_runs() -> None:
    @ray.remote
    def work(teller: Teller) -> None:
        teller.reached(4)

    with Ticker(quiet=True) as ticker:
        with counting("training", 10, "steps") as teller:
            assert teller is not None
            ray.get(work.remote(teller))
            while ticker.bar() != (4, 10):
                assert ticker.seconds < 60
                time.sleep(0.05)
        assert list(ticker.phases) == ["training"]


@pytest.mark.usefixtures("local_ray")
def test_an_answer_is_taken_once_it_is_there_and_a_tally_that_is_gone_gives_none() -> None:
    with Ticker(quiet=True) as ticker, tallied(ticker) as tally:
        ask = Asker(tally)
        seen = ask(1, wait=60)
        assert seen is not None and seen.scored == 0
        ray.kill(tally)  # which is asked for and not waited for: until then the tally may answer still
        patience = time.monotonic() + 60
        gone: Any = ask(1, wait=60)
        while gone is not None and time.monotonic() < patience:
            gone = ask(1, wait=60)
        assert gone is None and ask(1) is None


def test_where_nothing_is_shown_no_tally_is_started() -> None:
    with tallied(Ticker(quiet=True)) as tally:
        assert tally is None and Asker(tally)(1) is None
    with counting("training", 10, "steps") as teller:
        assert teller is None
