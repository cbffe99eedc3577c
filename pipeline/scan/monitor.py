"""Monitor: the driver's view of a wave, polled from the progress counter and shown by the progress."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from pipeline.telemetry.counts import Counts
from pipeline.telemetry.log import LOG
from pipeline.telemetry.progress import SCORING
from pipeline.telemetry.progress_client import ProgressPoller, progress_counter
from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter, WorkerProgress
from pipeline.telemetry.terminal import ProgressDisplay

STARTING, LOADING, FIRST_IMAGES = "starting Ray", "loading the detector", "first images"
LAST_POLL_SECONDS = 1.0
"""Seconds that the last poll of a wave waits for its answer."""


class Monitor:
    """The progress of a run's waves, which follow one another.

    Args:
        progress: shows it.
        counter: the actor's handle; None where no progress is shown, and then only written rows are counted.
    """

    def __init__(self, progress: ProgressDisplay, counter: Any = None) -> None:
        self.progress, self._counter = progress, counter
        self._wave, self._is_open, self._ask = 0, False, ProgressPoller(counter)
        self._units: set[str] = set()

    @contextmanager
    def wave(self, model: str) -> Iterator[ProgressReporter | None]:
        """Count the images of a wave; at its end the counts shown are those of the rows written.

        Args:
            model: the digest of the model whose rows are counted.

        Yields:
            What workers report to; None where no progress is shown.
        """
        with self.progress.lock:
            self._wave, self._is_open, self._units = self._wave + 1, True, set()
        yield None if self._counter is None else ProgressReporter(self._counter, self._wave, model)
        with self.progress.lock:
            self.poll(LAST_POLL_SECONDS)
            self.progress.settle()
            self._is_open = False  # what is still answered would count its rows a second time

    def poll(self, wait: float = 0.0) -> None:
        """Ask the progress counter, and show what it has answered so far.

        Args:
            wait: seconds to wait for the answer.
        """
        seen = self._ask(self._wave, wait)
        with self.progress.lock:
            if seen and self._is_open:
                self._show(seen)

    def written(self, part: dict[str, Any]) -> None:
        """Count a part of the table that was written.

        Args:
            part: a row of `WRITTEN_FILES`.
        """
        self.progress.add({(outcome["status"], outcome["verdict"]): outcome["images"] for outcome in part["outcomes"]})
        self._begin_scoring()
        if LOG.is_json:
            self.progress.log("part written", file=part["file"], rows=part["rows"])

    def _show(self, seen: WorkerProgress) -> None:
        counts = Counts(seen.outcomes)
        self._add_units(seen.ended)
        self.progress.set_worker_counts(counts, counts.faults + max(seen.scored, counts.images - counts.faults))
        if self.progress.phase == LOADING and seen.loaded:
            self.progress.enter(FIRST_IMAGES)
        if seen.scored or counts.images:
            self._begin_scoring()

    def _add_units(self, ended: dict[str, int]) -> None:
        """Add the number of images of each unit that was read to its end, once a unit."""
        for unit in ended.keys() - self._units:
            self._units.add(unit)
            self.progress.add_expected(ended[unit])
            if LOG.is_json:
                self.progress.log("unit read", unit=unit, images=ended[unit])

    def _begin_scoring(self) -> None:
        if self.progress.phase in {LOADING, FIRST_IMAGES}:
            self.progress.enter(SCORING)
            if SCORING in self.progress.phases:  # a rescan's second pass
                return
            took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.progress.phases.items())
            self.progress.log(
                f"started in {sum(self.progress.phases.values()):.1f} s: {took}", phases=self.progress.phases
            )


@contextmanager
def monitored(progress: ProgressDisplay, counter: ProgressCounter | None = None) -> Iterator[Monitor]:
    """Monitor a run, polling the workers' counts if the progress is shown.

    Args:
        progress: shows it.
        counter: of a run in this process; None for a run on a connected Ray, which gets an actor.
    """
    with nullcontext(counter) if counter is not None else progress_counter(progress) as counted:
        monitor = Monitor(progress, counted)
        with progress.watching(monitor.poll):
            yield monitor
