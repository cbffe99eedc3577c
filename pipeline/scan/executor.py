"""Executor: runs the tasks of a scan's waves; on a Ray cluster, or for a small source in this process."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

import pyarrow as pa

from pipeline.scan.budget import Claimable
from pipeline.scan.models import ModelRef
from pipeline.scan.read_function import ReadFunction
from pipeline.scan.table.deduplicator import Claims
from pipeline.scan.table.verdicts import Verdicts
from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter

Pending = Callable[[], pa.Table]
"""Waits for scores: returns a table of `SCORED`."""


class Scorers(Protocol):
    """What a read task sends its views to."""

    def submit(self, prepared: pa.Table, reporter: ProgressReporter | None) -> Pending:
        """Send a table of `PREPARED` to be scored, without waiting."""


class KeptScorers:
    """The scorers of a run, started anew only for other models.

    Args:
        start: starts those of some models, with what receives progress; they end with its context.
    """

    def __init__(
        self, start: Callable[[Sequence[ModelRef], ProgressReporter | None], AbstractContextManager[Scorers]]
    ) -> None:
        self._start = start
        self._models: tuple[str, ...] = ()
        self._scorers: Scorers | None = None
        self._running = ExitStack()

    def of(self, models: Sequence[ModelRef], reporter: ProgressReporter | None) -> Scorers:
        """Return the scorers of some models; those of others end."""
        digests = tuple(model.digest for model in models)
        if self._scorers is None or digests != self._models:
            self.close()
            self._scorers, self._models = self._running.enter_context(self._start(models, reporter)), digests
        return self._scorers

    def close(self) -> None:
        """End the scorers."""
        self._scorers = None  # those of the next models may fail to start
        self._running.close()


class Executor(Protocol):
    """What a run needs to have its images scored.

    Attributes:
        cores: CPU cores.
        rows_per_file: rows of a file of the table.
        isolated: whether images are decoded in child processes.
        counter: counts what tasks report; None where that needs an actor.
    """

    cores: int
    rows_per_file: int
    isolated: bool
    counter: ProgressCounter | None

    def rows_per_call(self, image_bytes: int) -> int:
        """Return the number of images per scorer call, given the bytes of an image's views."""

    def scorers(self, models: Sequence[ModelRef], reporter: ProgressReporter | None) -> Scorers:
        """Return the scorers of some models, which are loaded once as long as the models stay the same."""

    def claims(self) -> AbstractContextManager[Claims]:
        """Make a deduplicator that all tasks share."""

    def quota(self, images: int) -> AbstractContextManager[Claimable]:
        """Make a quota of images that all tasks share."""

    def run(self, tasks: Sequence[ReadFunction]) -> Verdicts:
        """Run tasks that yield verdicts, once these are written."""
