"""Budget: the images and hours after which a run ends by itself, complete so far and resumable.

The deadline is wall-clock time, since tasks on every machine of a cluster compare it with their own clock; machines
whose clocks differ stop that much apart.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import pyarrow as pa

from pipeline.scan.settings import RunSettings

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Budget:
    """The limits of a run.

    Attributes:
        images: rows that it may write; None for no limit.
        deadline: when it stops starting new work, in seconds since 1970; None for never.
    """

    images: int | None = None
    deadline: float | None = None

    @classmethod
    def of(cls, settings: RunSettings) -> Self:
        """Start a run's budget now."""
        deadline = None if settings.max_hours is None else time.time() + SECONDS_PER_HOUR * settings.max_hours
        return cls(settings.limit, deadline)

    def remaining(self, written: int) -> int | None:
        """Count the images that may still be written after `written` rows; None for no limit."""
        return None if self.images is None else max(0, self.images - written)

    def exhausted_by(self, written: int) -> str | None:
        """Name the flag that ends a run after `written` rows; None while the run may go on."""
        if self.remaining(written) == 0:
            return "--max-images"
        return "--max-hours" if has_passed(self.deadline) else None


def has_passed(deadline: float | None) -> bool:
    """Tell whether a deadline, in seconds since 1970, has passed; None never does."""
    return deadline is not None and time.time() >= deadline


def read_until(read: Callable[[], Iterator[pa.Table]], deadline: float | None) -> Iterator[pa.Table]:
    """Yield tables until a deadline; the rest of the unit is left to the next run."""
    if not has_passed(deadline):
        for table in read():
            yield table
            if has_passed(deadline):
                return


class Claimable(Protocol):
    """A quota, as the tasks of a wave see it."""

    def left(self) -> int:
        """Return how many images are left."""

    def claim(self, images: int) -> int:
        """Take up to so many images, and return how many."""


class Quota:
    """The images that the tasks of a wave may still score together, where `--max-images` limits them; thread-safe.

    What a task claims and does not write, since its worker died, is left to the next pass over the source.

    Args:
        images: how many.
    """

    def __init__(self, images: int) -> None:
        self._left, self._lock = images, threading.Lock()

    def left(self) -> int:
        """Return how many images are left."""
        return self._left

    def claim(self, images: int) -> int:
        """Take up to so many images, and return how many."""
        with self._lock:
            taken = min(images, self._left)
            self._left -= taken
            return taken


def within(quota: Claimable | None, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Pass on tables while a quota lasts, the last one cut; all of them where there is no quota."""
    if quota is None:
        yield from tables
    elif quota.left():
        for table in tables:
            taken = quota.claim(table.num_rows)
            yield table.slice(0, taken)
            if taken < table.num_rows or not quota.left():
                return
