"""Verdicts: what a sink is given to write, whichever executor makes them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from ray.data import Dataset


class Verdicts(Protocol):
    """The verdicts of some tasks; nothing runs before they are written."""

    def write(self, function: Callable[[pa.Table], pa.Table], rows: int) -> Iterator[pa.Table]:
        """Apply a function to each `rows` of them; yields its results, each as soon as it is done."""

    @property
    def dataset(self) -> "Dataset":
        """The verdicts as a dataset, for a sink that Ray Data writes; an executor in this process has none."""
