"""Read tasks: every unit is read in one task, a large shard alone."""

from dataclasses import replace

import pytest

from pipeline.scan.plan import Remaining
from pipeline.scan.read_tasks import MAX_IMAGES, MAX_SHARD_BYTES, max_tasks, tasks_of
from pipeline.scan.reading.unit import Kind, Unit


def unit(name: str, images: int | None) -> Unit:
    """Make a unit that says how many images it has, or does not."""
    return Unit(name, name, Kind.SLICE, images=images)


@pytest.mark.parametrize("cores", [1, 2, 64])
@pytest.mark.parametrize("count", [1, 15, 1000, 30_000])
def test_every_unit_is_in_one_task_and_a_shard_with_shards_alone(cores: int, count: int) -> None:
    units = [unit(f"f{number}", 1) for number in range(count)]
    units[count // 2 : count // 2] = [unit(f"s{number}", None) for number in range(3)]
    left = Remaining(count + 3, 3, count)
    made = list(tasks_of(units, left, cores))
    assert sorted(member.name for task in made for member in task) == sorted(member.name for member in units)
    assert all(len({member.images is None for member in task}) == 1 for task in made)
    assert all(len(task) == 1 for task in made if task[0].images is None)
    assert all(len(task) <= MAX_IMAGES for task in made)
    assert len(made) <= max_tasks(left, cores) <= len(made) + 1


@pytest.mark.parametrize(
    ("shards", "size", "tasks"), [(8, 1 << 20, 8), (800, 1 << 20, 13), (800, 100 << 20, 800), (800, None, 800)]
)
def test_small_shards_share_a_task_once_there_are_enough_for_every_core(
    shards: int, size: int | None, tasks: int
) -> None:
    units = [replace(unit(f"s{number}", None), size=size) for number in range(shards)]
    made = list(tasks_of(units, Remaining(shards, shards, 0), 2))
    assert len(made) == tasks
    assert all(sum(member.size or 0 for member in task[:-1]) < MAX_SHARD_BYTES for task in made)
