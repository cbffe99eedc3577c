"""Listed: the units of a source as they are found, counted where a run shows how far it is."""

from collections.abc import Iterable, Iterator

from pipeline.scan.reading.unit import Unit
from pipeline.telemetry.terminal import ProgressDisplay


def listed(units: Iterable[Unit], progress: ProgressDisplay, then: str = "") -> Iterator[Unit]:
    """Hand on the units of a source, and show how many there are.

    Args:
        units: as they are found.
        progress: shows it.
        then: the phase that follows once all are found.
    """
    progress.enter("listing the source")
    images = silent = 0
    for number, unit in enumerate(units, start=1):
        images, silent = images + (unit.images or 0), silent + (unit.images is None)
        told = [f"{images:,} images"] if images or not silent else []
        told += [f"{silent:,} shards"] if silent else []
        progress.found(f"{' and '.join(told)} in {number:,} units")
        yield unit
    progress.enter(then)
