"""Verdicts: what both executors hand to a sink comes once, in parts of its size, and not before it is asked for."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from mole.errors import StorageError
from pipeline.records import VERDICT
from pipeline.scan.local_executor import LocalVerdicts
from tests.pipeline.scan.conftest import Start
from tests.verdicts import verdict_row

ROWS = 7


def task(folder: Path, unit: str, tables: tuple[int, ...]) -> Iterator[pa.Table]:
    """Leave a mark, and yield tables of so many rows."""
    (folder / unit).touch()
    index = 0
    for rows in tables:
        yield pa.Table.from_pylist([verdict_row(unit, index + row) for row in range(rows)], VERDICT)
        index += rows


def broken(folder: Path) -> Iterator[pa.Table]:
    """Yield some rows, and fail."""
    yield from task(folder, "broken", (3,))
    raise StorageError("the store of 'broken' is gone")


def places(part: pa.Table) -> pa.Table:
    """Tell a part's number of rows, and which they are."""
    names = [f"{row['unit']}:{row['index']}" for row in part.to_pylist()]
    return pa.table({"rows": [part.num_rows], "names": [names]})


def test_every_row_is_handed_on_once_in_parts_of_at_most_so_many_rows(start: Start, tmp_path: Path) -> None:
    tasks = [partial(task, tmp_path, "a", (5, 0, 12)), partial(task, tmp_path, "b", (2,))]
    with start() as executor:
        parts = pa.concat_tables(executor.run(tasks).write(places, ROWS)).to_pylist()
    names = [name for part in parts for name in part["names"]]
    assert sorted(names) == sorted([f"a:{index}" for index in range(17)] + ["b:0", "b:1"])
    assert max(part["rows"] for part in parts) == ROWS and min(part["rows"] for part in parts) > 0


def test_nothing_runs_before_it_is_written(start: Start, tmp_path: Path) -> None:
    with start() as executor:
        verdicts = executor.run([partial(task, tmp_path, "a", (1,))])
        writing = verdicts.write(places, ROWS)
        assert not list(tmp_path.iterdir())
        assert [part["names"].to_pylist() for part in writing] == [[["a:0"]]]
    assert [mark.name for mark in tmp_path.iterdir()] == ["a"]


def test_an_error_of_a_task_ends_the_run_as_it_was_raised(start: Start, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^the store of 'broken' is gone$") as raised, start() as executor:
        list(executor.run([partial(broken, tmp_path)]).write(places, ROWS))
    assert type(raised.value) is StorageError


def test_in_this_process_a_part_is_handed_on_before_the_next_task_begins(tmp_path: Path) -> None:
    verdicts = LocalVerdicts([partial(task, tmp_path, unit, (ROWS,)) for unit in ("a", "b")])
    parts = verdicts.write(places, ROWS)
    assert next(parts)["rows"].to_pylist() == [ROWS]
    assert [mark.name for mark in tmp_path.iterdir()] == ["a"]
    assert len(list(parts)) == 1


def test_only_ray_makes_a_dataset(local_ray: None, start: Start, tmp_path: Path) -> None:
    with start() as executor:
        verdicts = executor.run([partial(task, tmp_path, "a", (5,))])
        if isinstance(verdicts, LocalVerdicts):
            with pytest.raises(NotImplementedError):
                verdicts.dataset.count()
        else:
            assert verdicts.dataset.count() == 5
