"""Monitor: the driver's view of a wave, polled from the tally actor and shown by the ticker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.telemetry.asking import Asker, tallied
from pipeline.telemetry.counts import Counts
from pipeline.telemetry.log import LOG
from pipeline.telemetry.progress import SCORING
from pipeline.telemetry.tally import Seen, Teller
from pipeline.telemetry.terminal import Ticker

STARTING, LOADING, FIRST = "starting Ray", "loading the detector", "first images"
LAST_POLL = 1.0
"""Seconds that the last poll of a wave waits for its answer."""


class Monitor:
    """The progress of a run's waves, which follow one another.

    Args:
        ticker: shows it.
        tally: the actor's handle; None where no progress is shown, and then only written rows are counted.
    """

    def __init__(self, ticker: Ticker, tally: Any = None) -> None:
        self.ticker, self._tally = ticker, tally
        self._wave, self._ask = 0, Asker(tally)
        self._units: set[str] = set()

    @contextmanager
    def wave(self, model: str) -> Iterator[Teller | None]:
        """Count the images of a wave; at its end the counts shown are those of the rows written.

        Args:
            model: the digest of the model whose rows are counted.

        Yields:
            What workers report to; None where no progress is shown.
        """
        with self.ticker.lock:
            self._wave, self._units = self._wave + 1, set()
        yield None if self._tally is None else Teller(self._tally, self._wave, model)
        with self.ticker.lock:
            self.poll(LAST_POLL)
            self.ticker.settle()

    def poll(self, wait: float = 0.0) -> None:
        """Ask the tally, and show what it has answered so far.

        Args:
            wait: seconds to wait for the answer.
        """
        if seen := self._ask(self._wave, wait):
            self._show(seen)

    def written(self, part: dict[str, Any]) -> None:
        """Count a part of the table that was written.

        Args:
            part: a row of `TALLIED`.
        """
        self.ticker.add({(one["status"], one["verdict"]): one["images"] for one in part["outcomes"]})
        self._begin_scoring()
        if LOG.is_json:
            self.ticker.say("part written", file=part["file"], rows=part["rows"])

    def _show(self, seen: Seen) -> None:
        counts = Counts(seen.outcomes)
        self._add_units(seen.ended)
        self.ticker.see(counts, counts.faults + max(seen.scored, counts.images - counts.faults))
        if self.ticker.phase == LOADING and seen.loaded:
            self.ticker.enter(FIRST)
        if seen.scored or counts.images:
            self._begin_scoring()

    def _add_units(self, ended: dict[str, int]) -> None:
        """Add the number of images of each unit that was read to its end, once a unit."""
        for unit in ended.keys() - self._units:
            self._units.add(unit)
            self.ticker.learn(ended[unit])
            if LOG.is_json:
                self.ticker.say("unit read", unit=unit, images=ended[unit])

    def _begin_scoring(self) -> None:
        if self.ticker.phase in {LOADING, FIRST}:
            self.ticker.enter(SCORING)
            if SCORING in self.ticker.phases:  # a rescan's second pass
                return
            took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.ticker.phases.items())
            self.ticker.say(f"started in {sum(self.ticker.phases.values()):.1f} s: {took}", phases=self.ticker.phases)


@contextmanager
def monitored(ticker: Ticker) -> Iterator[Monitor]:
    """Monitor a run on a connected Ray, polling the workers' counts if the ticker is shown."""
    with tallied(ticker) as tally:
        monitor = Monitor(ticker, tally)
        with ticker.watching(monitor.poll):
            yield monitor
