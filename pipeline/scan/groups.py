"""Groups: units that are read in one task, put together until they are enough work for it."""

from collections.abc import Iterable, Iterator

from pipeline.scan.plan import Left
from pipeline.scan.reading.unit import Unit

GROUPS_A_CORE = 4
FEWEST = 16
MOST = 256


def groups(units: Iterable[Unit], images: int, cores: int) -> Iterator[tuple[Unit, ...]]:
    """Put units together until they are enough work for a task; a shard is a task of its own.

    Args:
        units: what is to be done.
        images: how many there are, as far as the units tell.
        cores: how many there are to do it.
    """
    size = _images_a_group(images, cores)
    group: list[Unit] = []
    for unit in units:
        if unit.images is None:
            yield (unit,)
            continue
        group.append(unit)
        if sum(member.images or 0 for member in group) >= size:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def most_groups(left: Left, cores: int) -> int:
    """Tell how many groups some units make at most.

    Args:
        left: the units.
        cores: how many there are to do them.
    """
    telling = left.units - left.silent
    return left.silent + min(telling, left.told // _images_a_group(left.told, cores) + 1)


def _images_a_group(images: int, cores: int) -> int:
    return min(MOST, max(FEWEST, images // (GROUPS_A_CORE * cores)))
