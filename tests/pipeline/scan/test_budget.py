"""Budget: a run at its limit starts nothing new, and keeps all that it has done."""

import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from pipeline.scan.budget import Budget, Quota, has_passed, read_until, within
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


def test_tasks_take_what_a_quota_has_and_the_last_table_is_cut() -> None:
    quota = Quota(7)
    tables = [pa.table({"n": [0] * 3})] * 4
    assert [table.num_rows for table in within(quota, iter(tables[:2]))] == [3, 3]
    assert [table.num_rows for table in within(quota, iter(tables))] == [1]
    assert quota.left() == 0 and list(within(quota, iter(tables))) == []
    assert len(list(within(None, iter(tables)))) == 4


def test_of_a_quota_that_threads_share_nothing_is_taken_twice() -> None:
    quota, taken = Quota(10_000), []

    def take() -> None:
        while found := quota.claim(3):
            taken.append(found)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 10_000
