"""History: the runs that wrote a model's rows, with throughput and share called generated over time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.review.analysis.findings import Share
from pipeline.review.analysis.model_rows import ModelRows

MAX_RUNS = 20
MIN_STEPS = 4
"""Minimum points of a run's progress for a chart."""
MIN_IMAGES, MIN_SECONDS = 10, 10.0
"""Minimum images and seconds for a chart."""
MIN_SPANS = 3
BUCKETS = 60
WIDTHS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800)
"""Candidate widths of a time span in seconds: the first with at most `BUCKETS` spans is used."""
SECOND = 1_000_000
"""In microseconds."""
WRITERS = ("scan", "rescan")
PROGRESS = "progress"
"""The column of a run record with images done over time."""


@dataclass(frozen=True)
class Run:
    """A run that wrote to the table, with any model.

    Attributes:
        id: the run's id.
        job: scan or rescan.
        started: start time.
        ended: end time; None while it runs and if it was killed.
        seconds: duration; None likewise.
        exit_code: exit code of the command; None likewise.
        written: number of rows written.
        faults: number of those without a verdict.
        version: version of MoLE Scan.
        command: its command line.
        error: its error message, empty if none.
        settings: its settings.
        model: digest of its model, if recorded.
        called: share called generated of the rows written for this model.
        steps: seconds since its start and images done, if recorded.
        summary: its summary; empty if it did not finish.
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
        """Images per second over the whole run."""
        return self.written / self.seconds if self.seconds and self.written else None

    @property
    def course(self) -> list[tuple[float, float]]:
        """Images per second in equal time spans, each with the seconds at its end; 0 before the first image.

        Empty if there are no steps, or too few images or too little time for a chart.
        """
        if len(self.steps) < MIN_STEPS or not self.steps[-1][0]:
            return []
        begun = self._begun
        done = next(at for at, images in self.steps if images == self.steps[-1][1])
        if self.steps[-1][1] < MIN_IMAGES or done - begun < MIN_SECONDS:
            return []
        times, images = zip(
            *({0.0: 0, begun: 0} | dict(self.steps)).items(), strict=True
        )  # the last of equal times counts
        ends = np.linspace(0, times[-1], min(BUCKETS, len(times) - 1) + 1)
        rates = np.diff(np.interp(ends, times, images)) / ends[1]
        return list(zip(ends[1:].tolist(), rates.tolist(), strict=True))

    @property
    def _begun(self) -> float:
        """Start of the first images in seconds; for older records, whose steps begin with them, one step before."""
        (first, _), (second, _) = self.steps[:2]
        return max((at for at, done in self.steps if not done), default=max(0.0, first - (second - first)))

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The time window of its rows; records have a resolution of one second."""
        return self.started, (self.ended or datetime.now(UTC)) + timedelta(seconds=1)


@dataclass(frozen=True)
class Span:
    """A time span, and the rows written in it.

    Attributes:
        since: its start.
        seconds: its duration.
        images: number of rows.
        scored: number of those with a verdict.
        generated: number of those called generated.
    """

    since: datetime
    seconds: float
    images: int
    scored: int
    generated: int

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def called(self) -> Share:
        """How many of those with a verdict are called generated."""
        return Share(self.generated, self.scored)


def runs(rows: ModelRows) -> list[Run]:
    """List the runs that wrote to the table, the newest first; a table may have no records."""
    columns = rows.columns("runs")
    steps = f"to_json({PROGRESS})" if PROGRESS in columns else "NULL"
    found = rows.ask(f"""
        SELECT id, job, started, ended, seconds, exit_code, coalesce(written, 0) AS written,
               coalesce(faults, 0) AS faults, coalesce(version, '') AS version,
               coalesce(command, '') AS command, error.message AS error, settings::VARCHAR AS settings,
               summary->>'model' AS model, summary::VARCHAR AS summary, {steps}::VARCHAR AS steps
        FROM runs WHERE job IN {WRITERS} ORDER BY started DESC, id DESC LIMIT {MAX_RUNS}
    """)
    return [_run(rows, row) for row in found]


def spans(rows: ModelRows) -> list[Span]:
    """Count the rows in equal time spans, from the first row to the last."""
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
    """Return whether time spans have enough images and time for a chart."""
    images = sum(span.images for span in some)
    return len(some) >= MIN_SPANS and images >= MIN_IMAGES and sum(one.seconds for one in some) > MIN_SECONDS


def _run(rows: ModelRows, row: dict[str, Any]) -> Run:
    steps = _steps(row.pop("steps"))
    settings, summary = (json.loads(row.pop(name) or "null") or {} for name in ("settings", "summary"))
    made = Run(
        **row | {"error": row["error"] or ""}, settings=settings, summary=summary, steps=steps, called=Share(0, 0)
    )
    [counts] = rows.ask(
        "SELECT count(verdict) AS scored, count(*) FILTER (verdict = 'generated') AS generated FROM narrow "
        "WHERE scanned_at BETWEEN ? AND ?",
        *made.window,
    )
    return Run(**vars(made) | {"called": Share(counts["generated"], counts["scored"])})


def _steps(text: str | None) -> tuple[tuple[float, int], ...]:
    """Parse the progress of a record; empty unless it is a list of monotonic pairs."""
    try:
        pairs: Sequence[Any] = json.loads(text or "null") or ()
        pairs = json.loads(pairs) if isinstance(pairs, str) else pairs
        steps = tuple((float(seconds), int(images)) for seconds, images in pairs)
    except (TypeError, ValueError):
        return ()
    return steps if all(0 <= a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(steps)) else ()
