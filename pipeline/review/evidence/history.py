"""History: the runs that wrote a model's rows, how fast, and what they called generated, from first to last."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.review.evidence.findings import Share
from pipeline.review.evidence.model_rows import ModelRows

MOST_RUNS = 20
FEWEST_STEPS = 4
"""Of a run's progress that show a course."""
FEWEST_IMAGES, FEWEST_SECONDS = 10, 10.0
"""That a course is worth being drawn of."""
FEWEST_SPANS = 3
BUCKETS = 60
WIDTHS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800)
"""Seconds of a span: the first of which so many buckets are enough."""
SECOND = 1_000_000
"""Microseconds."""
WRITERS = ("scan", "rescan")
PROGRESS = "progress"
"""The column of a run's record that says how many images were done after how many seconds."""


@dataclass(frozen=True)
class Run:
    """One run that wrote to the table, whatever its model.

    Attributes:
        id: of its record.
        job: scan or rescan.
        started: when.
        ended: when; None while it runs and where it was killed.
        seconds: how long; None likewise.
        exit_code: of the command; None likewise.
        written: rows.
        faults: of them without a verdict.
        version: of the program.
        command: how it was started.
        error: what ended it, empty if nothing did.
        settings: as they were read.
        model: digest of the model, where the run says.
        called: of the rows that it wrote for this model, those called generated.
        steps: seconds from its start and images done by then, where it kept them.
        summary: what it did in the end, as it wrote; empty if it came to no end.
    """

    id: str
    job: str
    started: datetime
    ended: datetime | None
    seconds: float | None
    exit_code: int | None
    written: int
    faults: int
    version: str
    command: str
    error: str
    settings: dict[str, Any]
    model: str | None
    called: Share
    steps: tuple[tuple[float, int], ...]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Images a second, start and end included."""
        return self.written / self.seconds if self.seconds and self.written else None

    @property
    def course(self) -> list[tuple[float, float]]:
        """Images a second in equal spans from its start, each with the seconds at its end; 0 before the first image.

        Empty where it kept no steps, or scored too few images, or for too short a time, to show a course.
        """
        if len(self.steps) < FEWEST_STEPS or not self.steps[-1][0]:
            return []
        begun = self._begun
        done = next(at for at, images in self.steps if images == self.steps[-1][1])
        if self.steps[-1][1] < FEWEST_IMAGES or done - begun < FEWEST_SECONDS:
            return []
        times, images = zip(
            *({0.0: 0, begun: 0} | dict(self.steps)).items(), strict=True
        )  # of one time the last counts
        ends = np.linspace(0, times[-1], min(BUCKETS, len(times) - 1) + 1)
        rates = np.diff(np.interp(ends, times, images)) / ends[1]
        return list(zip(ends[1:].tolist(), rates.tolist(), strict=True))

    @property
    def _begun(self) -> float:
        """When its first images began: of older records, whose steps begin with them, one step before."""
        (first, _), (second, _) = self.steps[:2]
        return max((at for at, done in self.steps if not done), default=max(0.0, first - (second - first)))

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The time in which its rows lie; records are kept to the second."""
        return self.started, (self.ended or datetime.now(UTC)) + timedelta(seconds=1)


@dataclass(frozen=True)
class Span:
    """Some time, and the rows that were written in it.

    Attributes:
        since: its beginning.
        seconds: its length.
        images: rows.
        scored: of them with a verdict.
        generated: of them called generated.
    """

    since: datetime
    seconds: float
    images: int
    scored: int
    generated: int

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def called(self) -> Share:
        """How many of those with a verdict are called generated."""
        return Share(self.generated, self.scored)


def runs(rows: ModelRows) -> list[Run]:
    """List the runs that wrote to the table, the last first; a table may have none on record."""
    columns = rows.columns("runs")
    steps = f"to_json({PROGRESS})" if PROGRESS in columns else "NULL"
    found = rows.ask(f"""
        SELECT id, job, started, ended, seconds, exit_code, coalesce(written, 0) AS written,
               coalesce(faults, 0) AS faults, coalesce(version, '') AS version,
               coalesce(command, '') AS command, error.message AS error, settings::VARCHAR AS settings,
               summary->>'model' AS model, summary::VARCHAR AS summary, {steps}::VARCHAR AS steps
        FROM runs WHERE job IN {WRITERS} ORDER BY started DESC, id DESC LIMIT {MOST_RUNS}
    """)
    return [_run(rows, row) for row in found]


def spans(rows: ModelRows) -> list[Span]:
    """Count what was written in equal spans of time, from the first row to the last."""
    [ends] = rows.ask(
        "SELECT min(epoch_us(scanned_at)) AS low, max(epoch_us(scanned_at)) AS high, count(*) AS images FROM narrow"
    )
    if not ends["images"]:
        return []
    whole = ends["high"] - ends["low"] + 1
    width = next((one * SECOND for one in WIDTHS if whole <= BUCKETS * one * SECOND), -(-whole // BUCKETS))
    found = rows.ask(f"""
        SELECT ((epoch_us(scanned_at) - {ends["low"]}) // {width})::BIGINT AS bucket, count(*) AS images,
               count(verdict) AS scored, count(*) FILTER (verdict = 'generated') AS generated
        FROM narrow GROUP BY bucket ORDER BY bucket
    """)
    filled = {row.pop("bucket"): row for row in found}
    none = {"images": 0, "scored": 0, "generated": 0}
    first = datetime.fromtimestamp(ends["low"] / 1e6, UTC)
    return [
        Span(first + timedelta(microseconds=at * width), width / 1e6, **filled.get(at, none))
        for at in range(max(filled) + 1)
    ]


def worth_drawing(some: Sequence[Span]) -> bool:
    """Return whether so many images over so long show a course."""
    images = sum(span.images for span in some)
    return len(some) >= FEWEST_SPANS and images >= FEWEST_IMAGES and sum(one.seconds for one in some) > FEWEST_SECONDS


def _run(rows: ModelRows, row: dict[str, Any]) -> Run:
    steps = _steps(row.pop("steps"))
    settings, summary = (json.loads(row.pop(name) or "null") or {} for name in ("settings", "summary"))
    made = Run(
        **row | {"error": row["error"] or ""}, settings=settings, summary=summary, steps=steps, called=Share(0, 0)
    )
    [told] = rows.ask(
        "SELECT count(verdict) AS scored, count(*) FILTER (verdict = 'generated') AS generated FROM narrow "
        "WHERE scanned_at BETWEEN ? AND ?",
        *made.window,
    )
    return Run(**vars(made) | {"called": Share(told["generated"], told["scored"])})


def _steps(told: str | None) -> tuple[tuple[float, int], ...]:
    """Read what a record kept of its progress; anything but pairs of numbers that never fall is as good as nothing."""
    try:
        pairs: Sequence[Any] = json.loads(told or "null") or ()
        pairs = json.loads(pairs) if isinstance(pairs, str) else pairs
        steps = tuple((float(seconds), int(images)) for seconds, images in pairs)
    except (TypeError, ValueError):
        return ()
    return steps if all(0 <= a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(steps)) else ()
