"""What the table holds whole is not planned again; the rest is grouped into tasks and nothing is left out."""

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.scan.ledger import Ledger
from pipeline.scan.plan import MOST, groups, plan
from pipeline.scan.sink import encode
from pipeline.scan.unit import Kind, Unit
from tests.pipeline.scan.test_ledger import rows


def unit(name: str, images: int | None) -> Unit:
    """Make a unit that says how many images it has, or does not."""
    return Unit(name, name, Kind.SLICE, images=images)


def test_a_whole_unit_is_dropped_and_a_begun_one_knows_what_it_has(tmp_path: Path) -> None:
    storage.write(str(tmp_path / "1.parquet"), encode(rows("whole", [0, 1], 1)))
    storage.write(str(tmp_path / "2.parquet"), encode(rows("begun", [0, 1, 4], 5)))
    planned = plan([unit("whole", 2), unit("begun", 6), unit("new", 3)], Ledger(str(tmp_path)))
    assert [todo.name for todo in planned.todo] == ["begun", "new"]
    assert planned.todo[0].present == ((0, 2), (4, 5))
    assert [planned.todo[0].has(index) for index in range(6)] == [True, True, False, False, True, False]
    assert (planned.done_units, planned.done_images, planned.images) == (1, 5, 6)


def test_a_shard_does_not_tell_how_many_images_there_are(tmp_path: Path) -> None:
    assert plan([unit("s", None)], Ledger(str(tmp_path))).images is None


@pytest.mark.parametrize("cores", [1, 2, 64])
@pytest.mark.parametrize("count", [1, 15, 1000, 30_000])
def test_every_unit_is_in_one_group_and_a_shard_alone(cores: int, count: int) -> None:
    units = [unit(f"f{number}", 1) for number in range(count)] + [unit(f"s{number}", None) for number in range(3)]
    made = list(groups(units, cores))
    assert [member for group in made for member in group] != []
    assert sorted(member.name for group in made for member in group) == sorted(member.name for member in units)
    assert all(len(group) == 1 for group in made if group[0].images is None)
    assert all(len(group) <= MOST for group in made)
