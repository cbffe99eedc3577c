"""Chaos in its small form: four seeds of `make chaos`, and what its comparison would say of a table that is not whole."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import processes
from tests.chaos.__main__ import play, seeds_of
from tests.chaos.comparison import compare
from tests.chaos.faults import STEPS, Clock
from tests.chaos.place import Folder
from tests.chaos.report import Sums, line
from tests.chaos.scenario import DECK, ENDS_RUN, Command, Fault, Storage, draw, short
from tests.chaos.workbench import SMALL, Workbench, workbench

SEEDS = (3, 4, 23, 29)
"""A store that answers with pages, a read worker killed, a compaction killed, a driver killed that writes to S3."""


@pytest.fixture(scope="module")
def bench(store: int) -> Iterator[Workbench]:
    """What the seeds share, on the tests' S3 server."""
    # a short name: Ray's sockets below it have at most 107 characters
    with workbench(Path(tempfile.gettempdir()) / f"mole-seeds-{os.getpid()}", store, size=SMALL) as made:
        yield made
    processes.kill_all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_disturbed_run_ends_with_the_rows_of_an_undisturbed_one(seed: int, bench: Workbench) -> None:
    outcome = play(short(draw(seed)), bench)
    assert outcome.broken == (), line(outcome)
    assert outcome.difference is not None and outcome.difference.rows == SMALL.images == 40
    assert outcome.struck == 1 and outcome.kills > 0, "the fault did not reach the run"
    assert outcome.read_again <= outcome.in_flight
    sums = Sums.of([outcome])
    assert (sums.seeds, sums.lost, sums.twice, sums.broken) == (1, 0, 0, 0)


def test_a_full_run_has_every_command_storage_and_fault_and_is_the_same_each_time() -> None:
    for kind, place in ((Command, 0), (Storage, 1), (Fault, 2)):
        assert {entry[place] for entry in DECK} == set(kind)
    assert len(DECK) == 32 and [draw(seed) for seed in range(60)] == [draw(seed) for seed in range(60)]
    assert {draw(seed).fault for seed in SEEDS} & ENDS_RUN
    assert seeds_of("0-2,7") == [0, 1, 2, 7]


def rows(**changed: Any) -> list[dict[str, Any]]:
    """Make a small table, whose last row may have other values."""
    made = [
        {"model": "m", "unit": f"/{number}.tar#1", "index": 0, "logit": 1.0, "verdict": "real", "scanned_at": number}
        for number in range(4)
    ]
    return [*made[:-1], made[-1] | changed]


def test_a_table_with_a_row_lost_doubled_or_changed_is_told_apart() -> None:
    assert not compare(rows(), rows(scanned_at=99, logit=1.04))
    lost = compare(rows(), rows()[:-1])
    assert (lost.rows, lost.lost, lost.twice, lost.strange, lost.changed) == (4, 1, 0, 0, ())
    assert compare(rows(), [*rows(), rows()[0]]).twice == 1
    assert compare(rows(), rows(index=1)).strange == 1
    [words] = compare(rows(), rows(verdict="generated")).changed
    assert "verdict is 'generated', not 'real'" in words
    assert compare(rows(), rows(logit=1.2)) and compare(rows(), rows(logit=None))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_clock_of_a_run_steps_and_what_measures_durations_does_not(tmp_path: Path) -> None:
    place = Folder("", str(tmp_path))
    clock = Clock(draw(DECK.index((Command.SCAN, Storage.LOCAL, Fault.CLOCK_STEPS))), place, tmp_path, pytest.fail)
    clock.set_up()
    asks = "import queue, sys, time\nfor line in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    waits = "\ntry: queue.Queue().get(timeout=0.1)\nexcept queue.Empty: time.sleep(0.1); print('waited')"
    with subprocess.Popen(
        [sys.executable, "-c", asks + waits],
        env=os.environ | clock.environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdin is not None and run.stdout is not None
        for seconds in (0, *STEPS):
            clock.set_clock(seconds)
            run.stdin.write("\n")
            run.stdin.flush()
            wall, since = map(float, run.stdout.readline().split())
            assert abs(wall - time.time() - seconds) < 60 and abs(since - time.monotonic()) < 60
        clock.set_clock(3600)
        run.stdin.close()
        assert run.stdout.read() == "waited\n"
