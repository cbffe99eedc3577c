"""Groups: units that are read in one task, enough of them to keep a task busy for some seconds."""

from collections.abc import Iterable, Iterator

from pipeline.scan.plan import Remaining
from pipeline.scan.reading.unit import Unit

GROUPS_PER_CORE = 4
MIN_IMAGES, MAX_IMAGES = 16, 256
"""Bounds of a group's images."""


def group_units(units: Iterable[Unit], images: int, cores: int) -> Iterator[tuple[Unit, ...]]:
    """Group units into tasks; a shard is a task of its own.

    Args:
        units: the units to read.
        images: how many images they have, as far as it is known before reading.
        cores: cores of the cluster.
    """
    size = _images_per_group(images, cores)
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


def max_groups(remaining: Remaining, cores: int) -> int:
    """Bound the number of groups that some units make.

    Args:
        remaining: the units.
        cores: cores of the cluster.
    """
    counted = remaining.units - remaining.uncounted
    size = _images_per_group(remaining.counted_images, cores)
    return remaining.uncounted + min(counted, remaining.counted_images // size + 1)


def _images_per_group(images: int, cores: int) -> int:
    return min(MAX_IMAGES, max(MIN_IMAGES, images // (GROUPS_PER_CORE * cores)))
