"""Progress: how far a run is: its phases, what is done of the present one, and what became of the images."""

import threading
import time
from typing import Any

from pipeline.telemetry.counts import Counts, Outcomes
from pipeline.telemetry.humanize import human_duration
from pipeline.telemetry.pace import Pace, Series

SCORING = "scoring images"
"""The phase of a scan in which images are counted by what becomes of them."""


class Progress:
    """What is known of a run at this moment; any thread may ask and tell.

    What workers have counted runs ahead of what is written, and may be counted twice where a task began again. So what
    is shown is never less than what is written nor more than there is, and what is written once a wave has ended.

    Attributes:
        total: images to do; None while shards have not told.
        written: images whose rows are written.
        phases: seconds of each phase that has ended.
        series: images done at which time.
        phase: the present one; empty between two.
        lock: of all of it, for who changes several things together.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self.written = self._settled = self._seen = Counts()
        self.phases: dict[str, float] = {}
        self.series = Series()
        self.phase, self._noun, self._found = "", "images", ""
        self._ahead = self._faults = 0
        self._pace, self._images = Pace(), Pace()
        self._total: int | None = None
        self._told = self._silent = 0
        self._limit: int | None = None
        self._begun = self._since = time.monotonic()
        self.lock = threading.RLock()

    @property
    def images(self) -> int:
        """Images whose rows are written."""
        return self.written.images

    @property
    def faults(self) -> int:
        """Those of them that have no verdict."""
        return self.written.faults

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begun

    @property
    def elapsed(self) -> float:
        """Seconds since this phase began."""
        return time.monotonic() - self._since

    def enter(self, name: str, total: int | None = None, noun: str = "images") -> None:
        """Begin a phase, which ends the one before.

        Args:
            name: for people; nothing for the time between phases.
            total: of what is to be done in it.
            noun: what that is.
        """
        with self.lock:
            if self.phase:
                self.phases[self.phase] = round(self.phases.get(self.phase, 0.0) + self.elapsed, 3)
            self.phase, self._noun, self._found, self._faults = name, noun, "", 0
            self._since = time.monotonic()
            self._pace, self._total = Pace(), total

    def advance(self, more: int = 1, faults: int = 0) -> None:
        """Count what is done of this phase."""
        with self.lock:
            self._faults += faults
            self._pace.reach(self._pace.done + more, time.monotonic())

    def reach(self, done: int) -> None:
        """Learn how much is done of this phase in all."""
        with self.lock:
            self._pace.reach(done, time.monotonic())

    def found(self, words: str) -> None:
        """Say on the live line what this phase has found so far."""
        self._found = words

    def expect(self, told: int, silent: int = 0, limit: int | None = None) -> None:
        """Learn what there is to do.

        Args:
            told: images of the units that tell how many they have.
            silent: units that do not, until they are read; while there are some, no total is known.
            limit: images at most.
        """
        self._told, self._silent, self._limit = told, silent, limit
        known = None if silent else told
        self.total = known if limit is None else limit if known is None else min(limit, known)

    def learn(self, images: int) -> None:
        """Learn how many images a unit had that did not tell; the last one makes the total known."""
        with self.lock:
            if self._silent:
                Progress.expect(self, self._told + images, self._silent - 1, self._limit)

    def see(self, seen: Counts, ahead: int = 0) -> None:
        """Learn what workers have counted since `settle`, which may lie before or behind what is written.

        Args:
            seen: images with their outcomes.
            ahead: images that have been scored, whether their outcome is known or not.
        """
        with self.lock:
            self._seen, self._ahead = seen, ahead
            self._images.reach(self._done(), time.monotonic())

    def add(self, outcomes: Outcomes) -> None:
        """Count images whose rows are written."""
        with self.lock:
            self.written = self.written + Counts(outcomes)
            self._images.reach(self._done(), time.monotonic())
            self.note()

    def settle(self) -> None:
        """Hold what is shown to what is written: workers that began again may have counted twice."""
        with self.lock:
            self._settled, self._seen, self._ahead = self.written, Counts(), 0
            self._images.reach(self.images, time.monotonic())

    def note(self) -> None:
        """Put what is done at this moment into the series."""
        self.series.add(self.seconds, self._done())

    def facts(self) -> dict[str, Any]:
        """Write what the line says, as values."""
        with self.lock:
            now, counts = time.monotonic(), self._counts()
            (done, total), pace = self.bar(), self._images if self.phase == SCORING else self._pace
            rate, left = pace.rate(now), pace.left(total, now)
            told: dict[str, Any] = {"done": done, "total": total, "of": self._noun}
            told |= {"per_second": rate and round(rate, 2), "seconds_left": left and round(left, 1)}
            if self.phase != SCORING:
                return told | {"faults": self._faults}
            return told | {"written": self.images, "faults": counts.kinds, "verdicts": counts.verdicts}

    def __str__(self) -> str:
        """Write the line: done, rate, time left, verdicts and faults; or the phase, and what it has found."""
        with self.lock:
            now, (done, total) = time.monotonic(), self.bar()
            pace = self._images if self.phase == SCORING else self._pace
            if not done and total is None:
                return f"{self.phase}{self._found and ', '}{self._found}"
            rate, left = pace.rate(now), pace.left(total, now)
            words = [f"{done:,} {self._noun}" if total is None else f"{done:,} of {total:,} {self._noun}"]
            words += [] if rate is None else [f"{rate:,.1f} {self._noun}/s"]
            words += [] if left is None else [f"{human_duration(left)} left"]
            if self.phase == SCORING:
                return ", ".join([*words, *([str(self._counts())] if self._counts().images else [])])
            words += [f"{self._faults:,} fault{'s' * (self._faults > 1)}"] if self._faults else []
            return f"{self.phase}: {', '.join(words)}"

    def ending(self) -> str:
        """Write what the run has written, and how fast."""
        of = "" if self.total is None else f" of {max(self.total, self.images):,}"
        rate = "" if self._images.mean is None else f", {self._images.mean:,.1f} images/s"
        return f"{self.images:,}{of} images written{rate}, {self.written}"

    def bar(self) -> tuple[int, int | None]:
        """Return how much of this phase is done, and of how much, if that is known."""
        with self.lock:
            done, total = (self._done(), self.total) if self.phase == SCORING else (self._pace.done, self._total)
            return done, None if total is None else max(total, done)

    def _counts(self) -> Counts:
        """Count outcomes: what workers have seen, unless more is written by now."""
        seen = self._settled + self._seen
        return seen if seen.images > self.images else self.written

    def _done(self) -> int:
        """Count images: what is scored, but no more than there are, and no less than are written."""
        done = max(self._counts().images, self._settled.images + self._ahead)
        return done if self.total is None else max(self.images, min(done, self.total))
