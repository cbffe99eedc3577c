"""Progress counter: counts workers' progress before it is written; an actor that is sent messages, or an object.

It is for display only: a lost or repeated message makes a progress line wrong for a while, never a row.
"""

import threading
import time
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

REPORT_SECONDS = 1.0
"""Minimum seconds between two messages of a worker about scored images."""
Outcome = tuple[str, str | None]


@dataclass
class WorkerProgress:
    """The progress reported by workers.

    Attributes:
        loaded: scorers whose detector is loaded.
        scored: images scored, or steps of a training.
        outcomes: images by status and verdict.
        ended: images of the units that were read to their end.
    """

    loaded: int = 0
    scored: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    ended: dict[str, int] = field(default_factory=dict)


class ProgressCounter:
    """Counts the progress of the current wave; messages of earlier waves are ignored. Thread-safe."""

    def __init__(self) -> None:
        self._wave = 0
        self._seen = WorkerProgress()
        self._lock = threading.Lock()

    def snapshot(self, wave: int) -> WorkerProgress:
        """Return the progress of a wave."""
        with self._lock:
            return deepcopy(self._of(wave) or WorkerProgress())

    def loaded(self, wave: int) -> None:
        """Count a loaded scorer."""
        with self._lock:
            if seen := self._of(wave):
                seen.loaded += 1

    def scored(self, wave: int, images: int) -> None:
        """Count scored images."""
        with self._lock:
            if seen := self._of(wave):
                seen.scored += images

    def reached(self, wave: int, step: int) -> None:
        """Set the step of a training; a restarted one may have gone back."""
        with self._lock:
            if seen := self._of(wave):
                seen.scored = step

    def concluded(self, wave: int, outcomes: dict[Outcome, int]) -> None:
        """Count images by outcome."""
        with self._lock:
            if seen := self._of(wave):
                seen.outcomes.update(outcomes)

    def ended(self, wave: int, unit: str, images: int) -> None:
        """Set the number of images of a unit."""
        with self._lock:
            if seen := self._of(wave):
                seen.ended[unit] = images

    def _of(self, wave: int) -> WorkerProgress | None:
        if wave > self._wave:
            self._wave, self._seen = wave, WorkerProgress()
        return self._seen if wave == self._wave else None


class ProgressReporter:
    """Reports a worker's progress to the counter, without waiting for a response.

    Args:
        counter: the actor's handle, or a `ProgressCounter` of this process.
        wave: number of the wave.
        model: digest of the model whose rows are counted, so that an image scored by several models counts once.
    """

    def __init__(self, counter: Any, wave: int, model: str) -> None:
        self._counter, self._wave, self._model = counter, wave, model
        self._pending, self._sent_at = 0, 0.0

    def loaded(self) -> None:
        """Report a loaded detector."""
        self._send("loaded")

    def scored(self, images: int) -> None:
        """Report scored images, at most once a second."""
        self._pending += images
        if time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self._send("scored", self._pending)
            self._pending, self._sent_at = 0, time.monotonic()

    def reached(self, step: int) -> None:
        """Report the step of a training, at most once a second."""
        if time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self._send("reached", step)
            self._sent_at = time.monotonic()

    def concluded(self, rows: Any) -> None:
        """Report the outcomes of images.

        Args:
            rows: a table with the columns model, status and verdict.
        """
        columns = (rows[name].to_pylist() for name in ("model", "status", "verdict"))
        outcomes = Counter(
            (status, verdict) for model, status, verdict in zip(*columns, strict=True) if model == self._model
        )
        if outcomes:
            self._send("concluded", dict(outcomes))

    def ended(self, unit: str, images: int) -> None:
        """Report the number of images of a unit, once it is read."""
        self._send("ended", unit, images)

    def _send(self, method: str, *values: object) -> None:
        receive = getattr(self._counter, method)
        if isinstance(self._counter, ProgressCounter):
            receive(self._wave, *values)
        else:
            receive.options(num_returns=0).remote(self._wave, *values)
