"""Progress: the state of a run: phases, amount done and outcomes of images."""

import threading
import time
from typing import Any

from pipeline.telemetry.counts import Counts, Outcomes
from pipeline.telemetry.humanize import human_duration
from pipeline.telemetry.throughput import Series, Throughput

SCORING = "scoring images"
"""The phase of a scan in which images are counted by outcome."""


class Progress:
    """The current state of a run; thread-safe.

    Workers' counts are ahead of the written rows, and may be doubled if a task is restarted. So the displayed number is
    clamped between the written rows and the total, and is set to the written rows when a wave ends.

    Attributes:
        total: images to do; None while the sizes of shards are unknown.
        written: counts of images whose rows are written.
        phases: seconds of each finished phase.
        series: images done over time.
        phase: the current phase; empty between two.
        lock: for callers that change several values together.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self.written = self._settled = self._seen = Counts()
        self.phases: dict[str, float] = {}
        self.series = Series()
        self.phase, self._noun, self._found = "", "images", ""
        self._ahead = self._faults = 0
        self._throughput, self._images = Throughput(), Throughput()
        self._total: int | None = None
        self._expected = self._unknown = 0
        self._limit: int | None = None
        self._begun = self._since = time.monotonic()
        self.lock = threading.RLock()

    @property
    def images(self) -> int:
        """Number of images whose rows are written."""
        return self.written.images

    @property
    def faults(self) -> int:
        """Number of written images without a verdict."""
        return self.written.faults

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._begun

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the phase."""
        return time.monotonic() - self._since

    def enter(self, name: str, total: int | None = None, noun: str = "images") -> None:
        """Begin a phase, which ends the previous one.

        Args:
            name: its name; empty for the time between phases.
            total: number of items, None if unknown.
            noun: what the items are.
        """
        with self.lock:
            if self.phase:
                self.phases[self.phase] = round(self.phases.get(self.phase, 0.0) + self.elapsed, 3)
            self.phase, self._noun, self._found, self._faults = name, noun, "", 0
            self._since = time.monotonic()
            self._throughput, self._total = Throughput(), total

    def advance(self, more: int = 1, faults: int = 0) -> None:
        """Add to the amount done in this phase."""
        with self.lock:
            self._faults += faults
            self._throughput.update(self._throughput.done + more, time.monotonic())

    def reach(self, done: int) -> None:
        """Set the amount done in this phase."""
        with self.lock:
            self._throughput.update(done, time.monotonic())

    def found(self, words: str) -> None:
        """Set the text that follows the phase's name on the live line."""
        self._found = words

    def expect(self, images: int, unknown: int = 0, limit: int | None = None) -> None:
        """Set the amount of work.

        Args:
            images: images of the units of known size.
            unknown: number of units of unknown size; with any, the total is unknown.
            limit: maximum number of images.
        """
        self._expected, self._unknown, self._limit = images, unknown, limit
        known = None if unknown else images
        self.total = known if limit is None else limit if known is None else min(limit, known)

    def add_expected(self, images: int) -> None:
        """Add the images of a unit whose size was unknown."""
        with self.lock:
            if self._unknown:
                Progress.expect(self, self._expected + images, self._unknown - 1, self._limit)

    def set_worker_counts(self, seen: Counts, ahead: int = 0) -> None:
        """Set the workers' counts since `settle`, which may be ahead of the written rows or not.

        Args:
            seen: images by outcome.
            ahead: scored images, whether or not their outcome is known.
        """
        with self.lock:
            self._seen, self._ahead = seen, ahead
            self._images.update(self._done(), time.monotonic())

    def add(self, outcomes: Outcomes) -> None:
        """Add images whose rows are written."""
        with self.lock:
            self.written = self.written + Counts(outcomes)
            self._images.update(self._done(), time.monotonic())
            self.add_point()

    def settle(self) -> None:
        """Reset the displayed number to the written rows: restarted workers may have counted twice."""
        with self.lock:
            self._settled, self._seen, self._ahead = self.written, Counts(), 0
            self._images.update(self.images, time.monotonic())

    def add_point(self) -> None:
        """Add the current amount to the series."""
        self.series.add(self.seconds, self._done())

    def facts(self) -> dict[str, Any]:
        """Return the values of the progress line."""
        with self.lock:
            now, counts, (done, total) = time.monotonic(), self._counts(), self.done_and_total()
            throughput = self._images if self.phase == SCORING else self._throughput
            rate, left = throughput.rate(now), throughput.left(total, now)
            values: dict[str, Any] = {"done": done, "total": total, "of": self._noun}
            values |= {"per_second": rate and round(rate, 2), "seconds_left": left and round(left, 1)}
            if self.phase != SCORING:
                return values | {"faults": self._faults}
            return values | {"written": self.images, "faults": counts.kinds, "verdicts": counts.verdicts}

    def __str__(self) -> str:
        """Format the progress line: amount, rate, remaining time, verdicts and faults; or the phase and its text."""
        with self.lock:
            now, (done, total) = time.monotonic(), self.done_and_total()
            throughput = self._images if self.phase == SCORING else self._throughput
            if not done and total is None:
                return f"{self.phase}{self._found and ', '}{self._found}"
            rate, left = throughput.rate(now), throughput.left(total, now)
            words = [f"{done:,} {self._noun}" if total is None else f"{done:,} of {total:,} {self._noun}"]
            words += [] if rate is None else [f"{rate:,.1f} {self._noun}/s"]
            words += [] if left is None else [f"{human_duration(left)} left"]
            if self.phase == SCORING:
                return ", ".join([*words, *([str(self._counts())] if self._counts().images else [])])
            words += [f"{self._faults:,} fault{'s' * (self._faults > 1)}"] if self._faults else []
            return f"{self.phase}: {', '.join(words)}"

    def final_line(self) -> str:
        """Format the final line: rows written and their rate."""
        of = "" if self.total is None else f" of {max(self.total, self.images):,}"
        rate = "" if self._images.mean is None else f", {self._images.mean:,.1f} images/s"
        return f"{self.images:,}{of} images written{rate}, {self.written}"

    def done_and_total(self) -> tuple[int, int | None]:
        """Return the amount done in this phase, and the total, if known."""
        with self.lock:
            done, total = (self._done(), self.total) if self.phase == SCORING else (self._throughput.done, self._total)
            return done, None if total is None else max(total, done)

    def _counts(self) -> Counts:
        """Return the workers' counts, unless more rows are written."""
        seen = self._settled + self._seen
        return seen if seen.images > self.images else self.written

    def _done(self) -> int:
        """Return the scored images, clamped between the written rows and the total."""
        done = max(self._counts().images, self._settled.images + self._ahead)
        return done if self.total is None else max(self.images, min(done, self.total))
