"""Chaos in its small form: four seeds of `make chaos`, and what its comparison would say of a table that is not whole."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.__main__ import play, seeds_of
from tests.chaos.comparison import compare
from tests.chaos.report import Sums, line
from tests.chaos.scenario import DECK, ENDS_RUN, Command, Fault, Storage, draw
from tests.chaos.workbench import Workbench, workbench


@pytest.fixture(scope="module")
def bench(store: int) -> Iterator[Workbench]:
    """What the seeds share, on the tests' S3 server."""
    # a short name: Ray's sockets below it have at most 107 characters
    with workbench(Path(tempfile.gettempdir()) / f"mole-seeds-{os.getpid()}", store) as made:
        yield made


@pytest.mark.slow
@pytest.mark.skipif(
    "MOLE_CHAOS" not in os.environ, reason="four scans struck by faults, for minutes: MOLE_CHAOS=1, or make chaos"
)
@pytest.mark.parametrize("seed", range(4))
def test_a_disturbed_run_ends_with_the_rows_of_an_undisturbed_one(seed: int, bench: Workbench) -> None:
    outcome = play(draw(seed), bench)
    assert outcome.broken == (), line(outcome)
    assert outcome.difference is not None and outcome.difference.rows == 200
    assert outcome.struck == len(outcome.scenario.parts), "the fault did not reach the run"
    assert outcome.read_again <= outcome.in_flight
    sums = Sums.of([outcome])
    assert (sums.seeds, sums.lost, sums.twice, sums.broken) == (1, 0, 0, 0)


def test_thirty_seeds_have_every_command_storage_and_fault_and_are_the_same_each_time() -> None:
    for kind, place in ((Command, 0), (Storage, 1), (Fault, 2)):
        assert {entry[place] for entry in DECK} == set(kind)
    assert len(DECK) == 30 and [draw(seed) for seed in range(60)] == [draw(seed) for seed in range(60)]
    assert {draw(seed).fault for seed in range(4)} & ENDS_RUN
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
