"""Budget: a run at its limit starts nothing new, and keeps all that it has done."""

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from mole.config import describe
from pipeline.records import PREPARED
from pipeline.scan.budget import Budget, Scorer, has_passed, read_until
from pipeline.scan.settings import ScanSettings


def test_a_budget_of_images_is_spent_by_rows_and_one_of_hours_by_the_clock() -> None:
    settings = ScanSettings(source=["a"], output="o", limit=10, max_hours=1)
    budget = Budget.of(settings)
    assert (budget.remaining(4), budget.exhausted_by(4), budget.exhausted_by(10), budget.remaining(12)) == (
        6,
        None,
        "--max-images",
        0,
    )
    assert budget.deadline is not None and budget.deadline == pytest.approx(time.time() + 3600, abs=60)
    assert Budget(deadline=time.time() - 1).exhausted_by(0) == "--max-hours"
    assert Budget().exhausted_by(1 << 40) is None and Budget().remaining(5) is None and not has_passed(None)


def test_a_reading_ends_at_the_first_table_after_its_time_and_does_not_begin_later() -> None:
    begun: list[int] = []

    def read() -> Iterator[pa.Table]:
        for number in range(3):
            begun.append(number)
            yield pa.table({"n": [number]})
            time.sleep(0.05)

    assert len(list(read_until(read, None))) == 3
    begun.clear()
    assert [table["n"].to_pylist() for table in read_until(read, time.time() + 0.02)] == [[0], [1]]
    assert begun == [0, 1]
    begun.clear()
    assert list(read_until(read, time.time() - 1)) == [] and not begun


def test_a_scorer_leaves_what_waits_for_it_once_its_time_has_come(tiny: Path) -> None:
    described = describe(tiny)
    row = dict.fromkeys(PREPARED.names) | {"unit": "a#1", "index": 0, "last": True, "status": "empty"}
    waiting = pa.Table.from_pylist([row] * 3, PREPARED)
    for deadline, rows in ((time.time() + 600, 3), (time.time() - 1, 0), (None, 3)):
        scorer = Scorer(
            deadline=deadline, models=[(str(tiny), described.digest)], device="cpu", threads=1, batch_size=4
        )
        scored = scorer(waiting)
        assert scored.num_rows == rows and "logit" in scored.column_names
