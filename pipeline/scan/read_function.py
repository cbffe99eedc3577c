"""Read function: reads the units of a task, and counts the images of units whose number was unknown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.telemetry.progress_counter import ProgressReporter

ReadFunction = Callable[[], Iterator[pa.Table]]
"""Yields tables: of `FETCHED`, or, as the body of a read task, of verdicts; some seconds of work."""


@dataclass(frozen=True)
class CountingRead:
    """A read function of units whose number of images is unknown until they are read.

    Attributes:
        read: reads their images, unit after unit.
        reporter: receives each unit's number of images once it is read; None where no progress is shown.
    """

    read: ReadFunction
    reporter: ProgressReporter | None = None

    def __call__(self) -> Iterator[pa.Table]:
        """Read the units, and report each one's number of images."""
        counts: dict[str, int] = {}
        for table in self.read():
            for found in pc.value_counts(table["unit"]):
                unit = found["values"].as_py()
                self._report(counts, besides=unit)
                counts[unit] = counts.get(unit, 0) + found["counts"].as_py()
            yield table
        self._report(counts)

    def _report(self, counts: dict[str, int], besides: str | None = None) -> None:
        """Report and forget the units that were read."""
        for unit in [unit for unit in counts if unit != besides]:
            images = counts.pop(unit)
            if self.reporter is not None:
                self.reporter.ended(unit, images)
