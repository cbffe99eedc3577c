"""Throughput: work per second over a sliding window, and the estimated remaining time."""

from collections import deque

WINDOW_SECONDS = 30.0
"""Sliding window of the rate in seconds, so that a slow start is soon forgotten."""
MAX_POINTS = 200
"""Maximum number of points of a series."""


class Throughput:
    """Work done over time; measured from the first update, so that the wait before it does not lower the rate."""

    def __init__(self) -> None:
        self.done = 0
        self._first: tuple[float, int] | None = None
        self._arrivals: deque[tuple[float, int]] = deque()

    def update(self, done: int, now: float) -> None:
        """Update the amount done.

        Args:
            done: total so far.
            now: monotonic time in seconds.
        """
        if done == self.done:
            return
        if done < self.done:  # a double count was corrected: restart the rate
            self._arrivals.clear()
            self._first = None
        self.done = done
        self._arrivals.append((now, done))
        self._first = self._first or (now, done)
        while len(self._arrivals) > 2 and self._arrivals[1][0] <= now - WINDOW_SECONDS:
            self._arrivals.popleft()

    def rate(self, now: float) -> float | None:
        """Return the rate per second; None before the second update.

        Updates come in bursts, so the window ends at the last update, unless none has come for longer than their mean
        interval.
        """
        if len(self._arrivals) < 2:
            return None
        (begun, before), (last, done) = self._arrivals[0], self._arrivals[-1]
        interval = (last - begun) / (len(self._arrivals) - 1)
        return (done - before) / max(1e-9, max(last, now - interval) - begun)

    @property
    def mean(self) -> float | None:
        """The rate per second between the first and the last update; None before the second."""
        if self._first is None or not self._arrivals or self._arrivals[-1][0] <= self._first[0]:
            return None
        return (self.done - self._first[1]) / (self._arrivals[-1][0] - self._first[0])

    def left(self, total: int | None, now: float) -> float | None:
        """Return the estimated remaining seconds; None if rate or total is unknown."""
        rate = self.rate(now)
        if total is None or not rate or self.done >= total:
            return None
        return (total - self.done) / rate


class Series:
    """A time series of [seconds since the start, images done], thinned to a maximum number of points."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []
        self._interval = 0.0

    def add(self, seconds: float, done: int) -> None:
        """Add a point if it is far enough from the last one; of those before the first image keep the last."""
        if not done and self._points and not self._points[-1][1]:
            self._points[-1] = (seconds, done)
            return
        if self._points and seconds - self._points[-1][0] < self._interval:
            return
        self._points.append((seconds, done))
        if len(self._points) >= MAX_POINTS:
            self._interval = 2 * (self._points[-1][0] - self._points[0][0]) / (len(self._points) - 1)
            self._points = self._points[::2]

    def points(self, seconds: float, done: int) -> list[list[float]]:
        """Return the points including the end.

        Args:
            seconds: time of the end since the start.
            done: images at the end; the series is made monotonic.
        """
        kept = [(seconds, done)]
        for at, then in reversed(self._points):
            if at < seconds:
                kept.append((at, min(then, kept[-1][1])))  # corrects double counts
        return [[round(at, 1), then] for at, then in reversed(kept)]
