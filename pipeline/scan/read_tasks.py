"""Read tasks: the units that one task reads, enough of them to keep it busy for some seconds."""

from collections.abc import Iterable, Iterator

from pipeline.scan.plan import Remaining
from pipeline.scan.reading.unit import Unit

MIN_TASKS_PER_CORE = 4
MIN_IMAGES, MAX_IMAGES = 16, 1024
"""Bounds of a task's images."""
MAX_SHARD_BYTES = 64 << 20
"""Shards of this size together are a task; small ones alone would fill no batch of a GPU."""


def tasks_of(units: Iterable[Unit], remaining: Remaining, cores: int) -> Iterator[tuple[Unit, ...]]:
    """Group units into tasks: files and slices by their images, shards by their bytes.

    Args:
        units: the units to read.
        remaining: how many they are.
        cores: cores of the cluster.
    """
    images = _images_per_task(remaining.counted_images, cores)
    shards = max(1, remaining.uncounted // (MIN_TASKS_PER_CORE * cores))
    counted: list[Unit] = []
    uncounted: list[Unit] = []
    for unit in units:
        task = uncounted if unit.images is None else counted
        task.append(unit)
        if unit.images is None:
            full = len(task) >= shards or sum(member.size or MAX_SHARD_BYTES for member in task) >= MAX_SHARD_BYTES
        else:
            full = sum(member.images or 0 for member in task) >= images
        if full:
            yield tuple(task)
            task.clear()
    yield from (tuple(task) for task in (counted, uncounted) if task)


def max_tasks(remaining: Remaining, cores: int) -> int:
    """Bound the number of tasks that some units make.

    Args:
        remaining: the units.
        cores: cores of the cluster.
    """
    counted = remaining.units - remaining.uncounted
    size = _images_per_task(remaining.counted_images, cores)
    return remaining.uncounted + min(counted, remaining.counted_images // size + 1)


def _images_per_task(images: int, cores: int) -> int:
    return min(MAX_IMAGES, max(MIN_IMAGES, images // (MIN_TASKS_PER_CORE * cores)))
