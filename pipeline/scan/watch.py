"""The watch: a scan's driver looks at what its workers have told the tally, and the progress shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.telemetry.counts import Counts
from pipeline.telemetry.log import LOG
from pipeline.telemetry.progress import SCORING
from pipeline.telemetry.progress_client import ProgressPoller, progress_counter
from pipeline.telemetry.progress_counter import ProgressReporter, WorkerProgress
from pipeline.telemetry.terminal import ProgressDisplay

STARTING, LOADING, FIRST = "starting Ray", "loading the detector", "first images"
LAST_LOOK = 1.0
"""Seconds that the last look at a wave waits for its answer."""


class Watch:
    """What is told of a run's waves, one after the other.

    Args:
        progress: shows it.
        tally: the actor's handle; None where nobody looks, and then only what is written counts.
    """

    def __init__(self, progress: ProgressDisplay, tally: Any = None) -> None:
        self.progress, self._tally = progress, tally
        self._wave, self._ask = 0, ProgressPoller(tally)
        self._units: set[str] = set()

    @contextmanager
    def wave(self, model: str) -> Iterator[ProgressReporter | None]:
        """Begin to count a wave, and hold what is shown to what it has written at its end.

        Args:
            model: the digest whose rows are counted.

        Yields:
            What its workers tell; None where nobody looks.
        """
        with self.progress.lock:
            self._wave, self._units = self._wave + 1, set()
        yield None if self._tally is None else ProgressReporter(self._tally, self._wave, model)
        with self.progress.lock:
            self.look(LAST_LOOK)
            self.progress.settle()

    def look(self, wait: float = 0.0) -> None:
        """Ask the tally, and take what it has answered by now.

        Args:
            wait: seconds, for the answer.
        """
        if seen := self._ask(self._wave, wait):
            self._take(seen)

    def written(self, part: dict[str, Any]) -> None:
        """Count a part of the table.

        Args:
            part: a row of `WRITTEN_FILES`.
        """
        self.progress.add({(one["status"], one["verdict"]): one["images"] for one in part["outcomes"]})
        self._begin_scoring()
        if LOG.is_json:
            self.progress.log("part written", file=part["file"], rows=part["rows"])

    def _take(self, seen: WorkerProgress) -> None:
        counts = Counts(seen.outcomes)
        self._learn(seen.ended)
        self.progress.see(counts, counts.faults + max(seen.scored, counts.images - counts.faults))
        if self.progress.phase == LOADING and seen.loaded:
            self.progress.enter(FIRST)
        if seen.scored or counts.images:
            self._begin_scoring()

    def _learn(self, ended: dict[str, int]) -> None:
        """Learn how many images units had, each once."""
        for unit in ended.keys() - self._units:
            self._units.add(unit)
            self.progress.learn(ended[unit])
            if LOG.is_json:
                self.progress.log("unit read", unit=unit, images=ended[unit])

    def _begin_scoring(self) -> None:
        if self.progress.phase in {LOADING, FIRST}:
            self.progress.enter(SCORING)
            if SCORING in self.progress.phases:  # a rescan's second pass
                return
            took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.progress.phases.items())
            self.progress.log(
                f"started in {sum(self.progress.phases.values()):.1f} s: {took}", phases=self.progress.phases
            )


@contextmanager
def watched(progress: ProgressDisplay) -> Iterator[Watch]:
    """Watch a run on a Ray that is connected, if its progress is shown."""
    with progress_counter(progress) as tally:
        watch = Watch(progress, tally)
        with progress.watching(watch.look):
            yield watch
