"""Budget: how far a run goes before it ends by itself, whole and with nothing lost.

The time is the clock's, since tasks on any machine of a cluster look at it: machines whose clocks disagree end so much
apart.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from pipeline.scan import workers
from pipeline.scan.settings import RunSettings

HOUR = 3600


@dataclass(frozen=True)
class Budget:
    """What a run may take.

    Attributes:
        images: rows that it may write; None for any number.
        until: when it takes up nothing new, in seconds since 1970; None for never.
    """

    images: int | None = None
    until: float | None = None

    @classmethod
    def of(cls, settings: RunSettings) -> Self:
        """Begin a run's budget now."""
        until = None if settings.max_hours is None else time.time() + HOUR * settings.max_hours
        return cls(settings.limit, until)

    def left(self, written: int) -> int | None:
        """Tell how many images may follow so many; None for any number."""
        return None if self.images is None else max(0, self.images - written)

    def spent(self, written: int) -> str | None:
        """Name the flag that ends a run which has written so many rows; None while it goes on."""
        if self.left(written) == 0:
            return "--max-images"
        return "--max-hours" if is_over(self.until) else None


def is_over(until: float | None) -> bool:
    """Tell whether a time has come."""
    return until is not None and time.time() >= until


def read_until(reading: Callable[[], Iterator[pa.Table]], until: float | None) -> Iterator[pa.Table]:
    """Read on until a time has come; what is left of the unit is then for the next run."""
    if not is_over(until):
        for table in reading():
            yield table
            if is_over(until):
                return


class Scorer(workers.Scorer):
    """A scorer, as Ray names it too, that scores nothing more once a time has come, however much waits for it.

    Args:
        until: that time, in seconds since 1970; None for never.
        given: as the worker's `Scorer` takes it.
    """

    def __init__(self, *, until: float | None, **given: Any) -> None:
        super().__init__(**given)
        self.until = until

    def __call__(self, prepared: pa.Table) -> Any:
        """Score a table of `PREPARED`, or leave its images to the next run."""
        return super().__call__(prepared.slice(0, 0) if is_over(self.until) else prepared)
