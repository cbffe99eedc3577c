"""The watch: a scan's driver looks at what its workers have told the tally, and the ticker shows it."""

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
LAST_LOOK = 1.0
"""Seconds that the last look at a wave waits for its answer."""


class Watch:
    """What is told of a run's waves, one after the other.

    Args:
        ticker: shows it.
        tally: the actor's handle; None where nobody looks, and then only what is written counts.
    """

    def __init__(self, ticker: Ticker, tally: Any = None) -> None:
        self.ticker, self._tally = ticker, tally
        self._wave, self._ask = 0, Asker(tally)
        self._units: set[str] = set()

    @contextmanager
    def wave(self, model: str) -> Iterator[Teller | None]:
        """Begin to count a wave, and hold what is shown to what it has written at its end.

        Args:
            model: the digest whose rows are counted.

        Yields:
            What its workers tell; None where nobody looks.
        """
        with self.ticker.lock:
            self._wave, self._units = self._wave + 1, set()
        yield None if self._tally is None else Teller(self._tally, self._wave, model)
        with self.ticker.lock:
            self.look(LAST_LOOK)
            self.ticker.settle()

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
            part: a row of `TALLIED`.
        """
        self.ticker.add({(one["status"], one["verdict"]): one["images"] for one in part["outcomes"]})
        self._begin_scoring()
        if LOG.is_json:
            self.ticker.say("part written", file=part["file"], rows=part["rows"])

    def _take(self, seen: Seen) -> None:
        counts = Counts(seen.outcomes)
        self._learn(seen.ended)
        self.ticker.see(counts, counts.faults + max(seen.scored, counts.images - counts.faults))
        if self.ticker.phase == LOADING and seen.loaded:
            self.ticker.enter(FIRST)
        if seen.scored or counts.images:
            self._begin_scoring()

    def _learn(self, ended: dict[str, int]) -> None:
        """Learn how many images units had, each once."""
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
def watched(ticker: Ticker) -> Iterator[Watch]:
    """Watch a run on a Ray that is connected, if its ticker is shown."""
    with tallied(ticker) as tally:
        watch = Watch(ticker, tally)
        with ticker.watching(watch.look):
            yield watch
