"""Groups: every unit is read in one task, and a shard alone."""

import pytest

from pipeline.scan.groups import MAX_IMAGES, group_units, max_groups
from pipeline.scan.plan import Remaining
from pipeline.scan.reading.unit import Kind, Unit


def unit(name: str, images: int | None) -> Unit:
    """Make a unit that says how many images it has, or does not."""
    return Unit(name, name, Kind.SLICE, images=images)


@pytest.mark.parametrize("cores", [1, 2, 64])
@pytest.mark.parametrize("count", [1, 15, 1000, 30_000])
def test_every_unit_is_in_one_group_and_a_shard_alone(cores: int, count: int) -> None:
    units = [unit(f"f{number}", 1) for number in range(count)] + [unit(f"s{number}", None) for number in range(3)]
    made = list(group_units(units, count, cores))
    assert [member for group in made for member in group] != []
    assert sorted(member.name for group in made for member in group) == sorted(member.name for member in units)
    assert all(len(group) == 1 for group in made if group[0].images is None)
    assert all(len(group) <= MAX_IMAGES for group in made)
    assert len(made) <= max_groups(Remaining(count + 3, 3, count), cores) <= len(made) + 1
