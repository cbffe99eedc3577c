"""Pace: how much of something is done, how fast over the last half minute, and what that leaves."""

from collections import deque

WINDOW = 30.0
"""Seconds that a rate is measured over, so that a slow start is soon forgotten."""
POINTS = 200
"""Of a series, at most."""


class Pace:
    """What is done at which time; the first arrival begins the clock, so waiting for it lowers no rate."""

    def __init__(self) -> None:
        self.done = 0
        self._first: tuple[float, int] | None = None
        self._arrivals: deque[tuple[float, int]] = deque()

    def reach(self, done: int, now: float) -> None:
        """Learn how much is done.

        Args:
            done: all of it so far.
            now: seconds of a clock that never goes back.
        """
        if done == self.done:
            return
        if done < self.done:  # what was counted twice is taken back: a rate begins anew
            self._arrivals.clear()
            self._first = None
        self.done = done
        self._arrivals.append((now, done))
        self._first = self._first or (now, done)
        while len(self._arrivals) > 2 and self._arrivals[1][0] <= now - WINDOW:
            self._arrivals.popleft()

    def rate(self, now: float) -> float | None:
        """Return how much is done a second; None until two arrivals show it.

        Things arrive in lumps, so the time up to the last arrival counts, and silence only once it has lasted longer
        than the lumps are apart.
        """
        if len(self._arrivals) < 2:
            return None
        (begun, before), (last, done) = self._arrivals[0], self._arrivals[-1]
        apart = (last - begun) / (len(self._arrivals) - 1)
        return (done - before) / max(1e-9, max(last, now - apart) - begun)

    @property
    def mean(self) -> float | None:
        """How much was done a second between the first arrival and the last; None until there are two."""
        if self._first is None or not self._arrivals or self._arrivals[-1][0] <= self._first[0]:
            return None
        return (self.done - self._first[1]) / (self._arrivals[-1][0] - self._first[0])

    def left(self, total: int | None, now: float) -> float | None:
        """Return how many seconds are left of a total; None if no rate or no total is known."""
        rate = self.rate(now)
        if total is None or not rate or self.done >= total:
            return None
        return (total - self.done) / rate


class Series:
    """Points of [seconds since the beginning, images done], as far apart as it takes to keep them few."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []
        self._apart = 0.0

    def add(self, seconds: float, done: int) -> None:
        """Add a point, if it is far enough from the one before; of those before the first image the last is kept."""
        if not done and self._points and not self._points[-1][1]:
            self._points[-1] = (seconds, done)
            return
        if self._points and seconds - self._points[-1][0] < self._apart:
            return
        self._points.append((seconds, done))
        if len(self._points) >= POINTS:
            self._apart = 2 * (self._points[-1][0] - self._points[0][0]) / (len(self._points) - 1)
            self._points = self._points[::2]

    def points(self, seconds: float, done: int) -> list[list[float]]:
        """List the points up to the end.

        Args:
            seconds: since the beginning, of the end.
            done: at the end; no point lies above a later one.
        """
        kept = [(seconds, done)]
        for at, then in reversed(self._points):
            if at < seconds:
                kept.append((at, min(then, kept[-1][1])))  # what was counted twice is taken back
        return [[round(at, 1), then] for at, then in reversed(kept)]
