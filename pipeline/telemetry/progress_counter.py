"""The counter: an actor that counts what workers have done before it is written, and waits for nobody.

Nothing is decided by it: a message that is lost or comes twice makes a line wrong for a while, never a row.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

REPORT_EVERY = 1.0
"""Seconds between two messages of a scorer about the images of a call that is not over."""
Outcome = tuple[str, str | None]


@dataclass
class WorkerProgress:
    """What workers have told.

    Attributes:
        loaded: scorers whose detector is ready.
        scored: images that went through a detector, or steps of a training.
        outcomes: images by status and verdict.
        ended: units that were read to their end, with their images.
    """

    loaded: int = 0
    scored: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    ended: dict[str, int] = field(default_factory=dict)


class ProgressCounter:
    """What was told of the present wave; a message of a wave before is too late."""

    def __init__(self) -> None:
        self._wave = 0
        self._seen = WorkerProgress()

    def snapshot(self, wave: int) -> WorkerProgress:
        """Return what was told of a wave."""
        return self._of(wave) or WorkerProgress()

    def loaded(self, wave: int) -> None:
        """Count a scorer."""
        if seen := self._of(wave):
            seen.loaded += 1

    def scored(self, wave: int, images: int) -> None:
        """Count images that went through a detector."""
        if seen := self._of(wave):
            seen.scored += images

    def reached(self, wave: int, step: int) -> None:
        """Learn which step a training has come to; one that began again may have gone back."""
        if seen := self._of(wave):
            seen.scored = step

    def concluded(self, wave: int, outcomes: dict[Outcome, int]) -> None:
        """Count images whose outcome is known."""
        if seen := self._of(wave):
            seen.outcomes.update(outcomes)

    def ended(self, wave: int, unit: str, images: int) -> None:
        """Learn how many images a unit had to give; one that is read again has as many."""
        if seen := self._of(wave):
            seen.ended[unit] = images

    def _of(self, wave: int) -> WorkerProgress | None:
        if wave > self._wave:
            self._wave, self._seen = wave, WorkerProgress()
        return self._seen if wave == self._wave else None


class ProgressReporter:
    """Tells the counter from a worker, and waits for no answer.

    Args:
        counter: the actor's handle.
        wave: whose images these are.
        model: the digest whose rows are counted, so that an image that several models judge counts once.
    """

    def __init__(self, counter: Any, wave: int, model: str) -> None:
        self._counter, self._wave, self._model = counter, wave, model
        self._pending, self._sent_at = 0, 0.0

    def loaded(self) -> None:
        """Return that a detector is ready."""
        self._send("loaded")

    def scored(self, images: int) -> None:
        """Return how many images went through the detector, once a second at most."""
        self._pending += images
        if time.monotonic() - self._sent_at >= REPORT_EVERY:
            self._send("scored", self._pending)
            self._pending, self._sent_at = 0, time.monotonic()

    def reached(self, step: int) -> None:
        """Return which step a training has come to, once a second at most."""
        if time.monotonic() - self._sent_at >= REPORT_EVERY:
            self._send("reached", step)
            self._sent_at = time.monotonic()

    def concluded(self, rows: Any) -> None:
        """Return what became of images.

        Args:
            rows: a table of verdicts and their models.
        """
        columns = (rows[name].to_pylist() for name in ("model", "status", "verdict"))
        outcomes = Counter(
            (status, verdict) for model, status, verdict in zip(*columns, strict=True) if model == self._model
        )
        if outcomes:
            self._send("concluded", dict(outcomes))

    def ended(self, unit: str, images: int) -> None:
        """Return how many images a unit had to give, once it is read."""
        self._send("ended", unit, images)

    def _send(self, method: str, *values: object) -> None:
        getattr(self._counter, method).options(num_returns=0).remote(self._wave, *values)
