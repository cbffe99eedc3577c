"""Groups: units that are read in one task, enough of them to keep a task busy for some seconds."""

from collections.abc import Iterable, Iterator

from pipeline.scan.plan import Remaining
from pipeline.scan.reading.unit import Unit

GROUPS_PER_CORE = 4
MIN_IMAGES, MAX_IMAGES = 16, 1024
"""Bounds of a group's images."""
MAX_SHARD_BYTES = 64 << 20
"""Shards of this size together are a group; small ones alone would fill no batch of a GPU."""


def group_units(units: Iterable[Unit], remaining: Remaining, cores: int) -> Iterator[tuple[Unit, ...]]:
    """Group units into tasks: files and slices by their images, shards by their bytes.

    Args:
        units: the units to read.
        remaining: how many they are.
        cores: cores of the cluster.
    """
    images = _images_per_group(remaining.counted_images, cores)
    shards = max(1, remaining.uncounted // (GROUPS_PER_CORE * cores))
    counted: list[Unit] = []
    uncounted: list[Unit] = []
    for unit in units:
        group = uncounted if unit.images is None else counted
        group.append(unit)
        if unit.images is None:
            full = len(group) >= shards or sum(member.size or MAX_SHARD_BYTES for member in group) >= MAX_SHARD_BYTES
        else:
            full = sum(member.images or 0 for member in group) >= images
        if full:
            yield tuple(group)
            group.clear()
    yield from (tuple(group) for group in (counted, uncounted) if group)


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
