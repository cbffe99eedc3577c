"""Verdicts: the interface by which an executor hands verdicts to a sink."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa


class Verdicts(Protocol):
    """The verdicts of some tasks; nothing runs before they are written."""

    def write(self, function: Callable[[pa.Table], pa.Table], rows: int) -> Iterator[pa.Table]:
        """Apply a function to each `rows` of them; yields its results, each as soon as it is done."""

    @property
    def dataset(self) -> Any:
        """The verdicts as a dataset of Ray Data, for a sink that it writes; an executor in this process has none."""
