"""Stages: what one read task does with its images: reads, prepares, has them scored, and concludes their verdicts."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess
from pipeline.scan import workers
from pipeline.scan.budget import Claimable, has_passed, read_until, within
from pipeline.scan.executor import Pending, Scorers
from pipeline.scan.table.deduplicator import Claims
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter

CALLS_AHEAD = 2
"""Calls of scorers that a task has under way: one is scored, while the next waits and a third is prepared."""


@dataclass(frozen=True)
class Stages:
    """The stages of a wave, as each of its tasks runs them.

    Attributes:
        spec: the preprocessing of all models.
        bounds: maximum bytes, maximum pixels, minimum pixels of a side.
        calibrations: each model's, by its digest.
        prevalence: share of generated images that the probabilities assume.
        scorers: where views are scored.
        rows_per_call: images of a call.
        isolated: whether images are decoded in child processes from the first attempt on.
        content_index: the URL of the model's verdicts by content hash; None without `--dedupe`.
        claims: with `--dedupe`, decides which of several equal images is scored.
        deferred: with `--dedupe`, the URL prefix under which rows of duplicates wait.
        quota: how many images may still be scored; None for all.
        deadline: when no new work is started, in seconds since 1970; None for never.
        reporter: receives progress; None where none is shown.
    """

    spec: Preprocess
    bounds: tuple[int, int, int]
    calibrations: Mapping[str, Calibration]
    prevalence: float
    scorers: Scorers
    rows_per_call: int
    isolated: bool = False
    content_index: str | None = None
    claims: Claims | None = None
    deferred: str | None = None
    quota: Claimable | None = None
    deadline: float | None = None
    reporter: ProgressReporter | None = None

    def verdicts(self, read: Callable[[], Iterator[pa.Table]]) -> Iterator[pa.Table]:
        """Give the images of a read function their verdicts; after the deadline only those that are being scored.

        Args:
            read: yields tables of `FETCHED`.

        Yields:
            Verdicts of every model, as `conclude` writes them.

        Raises:
            StorageError: a store stopped answering, or no scorer answers.
            ModelError: the detector did not load, or a logit is not finite.
        """
        images = within(self.quota, metrics.record_reads(read_until(read, self.deadline)))
        prepared = (self._prepare(table) for table in images)
        for scored in self._scored(rebatched(prepared, self.rows_per_call)):
            yield workers.conclude(
                scored,
                self.calibrations,
                self.spec.fingerprint,
                prevalence=self.prevalence,
                deferred=self.deferred,
                reporter=self.reporter,
            )

    def _prepare(self, fetched: pa.Table) -> pa.Table:
        return workers.prepare(
            fetched,
            self.spec,
            self.bounds,
            isolated=self.isolated,
            content_index=self.content_index,
            claims=self.claims,
        )

    def _scored(self, calls: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Have tables of `PREPARED` scored, some calls ahead; yields tables of `SCORED` in their order."""
        pending: deque[Pending] = deque()
        for call in calls:
            if has_passed(self.deadline):
                break
            pending.append(self.scorers.submit(call, self.reporter))
            if len(pending) == CALLS_AHEAD:
                yield _result(pending.popleft())
        while pending:
            yield _result(pending.popleft())


def _result(pending: Pending) -> pa.Table:
    """Wait for a table of `SCORED`, and record for how long."""
    with metrics.record_duration(metrics.Stage.WAIT):
        return pending()


def rebatched(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut tables of one schema anew, so that each but the last has `rows` rows; without a copy."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        if count < rows:
            continue
        whole = pa.concat_tables(held)
        start = 0
        while count - start >= rows:
            yield whole.slice(start, rows)
            start += rows
        held, count = ([whole.slice(start)], count - start) if start < count else ([], 0)
    if held:
        yield pa.concat_tables(held)
