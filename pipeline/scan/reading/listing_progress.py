"""Listing progress: counts the units of a source as they are found, and shows the count."""

from collections.abc import Iterable, Iterator

from pipeline.scan.reading.unit import Unit
from pipeline.telemetry.terminal import ProgressDisplay


def show_listing(units: Iterable[Unit], progress: ProgressDisplay, then: str = "") -> Iterator[Unit]:
    """Pass on the units of a source, and show how many were found.

    Args:
        units: as they are found.
        progress: shows the count.
        then: the phase that begins once all are found.
    """
    progress.enter("listing the source")
    images = shards = 0
    for number, unit in enumerate(units, start=1):
        images, shards = images + (unit.images or 0), shards + (unit.images is None)
        counts = [f"{images:,} images"] if images or not shards else []
        counts += [f"{shards:,} shards"] if shards else []
        progress.found(f"{' and '.join(counts)} in {number:,} units")
        yield unit
    progress.enter(then)
