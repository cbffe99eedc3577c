"""A driver that asks what its workers have told waits for nobody, and lives on where nobody answers."""

import time
from typing import Any

import pytest
import ray

from pipeline.telemetry.progress_client import ProgressPoller, counted_phase, progress_counter
from pipeline.telemetry.progress_counter import ProgressReporter
from pipeline.telemetry.terminal import ProgressDisplay


@pytest.mark.usefixtures("local_ray")
def test_a_phase_shows_how_far_workers_are_while_it_runs() -> None:
    @ray.remote
    def work(reporter: ProgressReporter) -> None:
        reporter.reached(4)

    with ProgressDisplay(quiet=True) as progress:
        with counted_phase("training", 10, "steps") as reporter:
            assert reporter is not None
            ray.get(work.remote(reporter))
            while progress.done_and_total() != (4, 10):
                assert progress.seconds < 60
                time.sleep(0.05)
        assert list(progress.phases) == ["training"]


@pytest.mark.usefixtures("local_ray")
def test_an_answer_is_taken_once_it_is_there_and_a_tally_that_is_gone_gives_none() -> None:
    with ProgressDisplay(quiet=True) as progress, progress_counter(progress) as counter:
        ask = ProgressPoller(counter)
        seen = ask(1, wait=60)
        assert seen is not None and seen.scored == 0
        ray.kill(counter)  # which is asked for and not waited for: until then the counter may answer still
        patience = time.monotonic() + 60
        gone: Any = ask(1, wait=60)
        while gone is not None and time.monotonic() < patience:
            gone = ask(1, wait=60)
        assert gone is None and ask(1) is None


def test_where_nothing_is_shown_no_tally_is_started() -> None:
    with progress_counter(ProgressDisplay(quiet=True)) as counter:
        assert counter is None and ProgressPoller(counter)(1) is None
    with counted_phase("training", 10, "steps") as reporter:
        assert reporter is None
