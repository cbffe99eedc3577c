"""What Ray calls on workers, by names that cost the driver nothing.

The imports stand inside on purpose: torch takes seconds of a core and much memory, and the driver, which only plans
and counts, needs none of it.
"""

import gc
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray

from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess
from pipeline.scan.forecasting.trial import Trial
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter


def prepare(
    fetched: pa.Table,
    spec: Preprocess,
    bounds: tuple[int, int, int],
    known: str | None = None,
    claims: Any = None,
) -> pa.Table:
    """Decode and view a block; see `pipeline.scan.steps.prepare`.

    Where the workers of this task have died twice, each image is decoded in a process of its own.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        bounds: most bytes, most pixels, fewest pixels of a side.
        known: the URL of a file of verdicts by content, where copies are not to be scored again.
        claims: the handle of the `Claims` that say which of several copies is scored; None scores each.
    """
    from pipeline.images.decode import Bounds
    from pipeline.scan.steps import prepare as steps
    from pipeline.scan.table.known import opened

    look = steps.chosen(spec, Bounds(*bounds))

    def claim(contents: Sequence[bytes], places: Sequence[str]) -> Sequence[bool]:
        answer: Sequence[bool] = ray.get(claims.claim.remote(list(contents), list(places)))
        return answer

    verdicts = None if known is None else opened(known)
    with metrics.timed(metrics.Stage.PREPARE):
        return steps.prepare(fetched, spec, look, known=verdicts, claim=None if claims is None else claim)


class Scorer:
    """An actor that holds detectors; see `pipeline.scan.steps.score`."""

    def __init__(
        self,
        models: Sequence[tuple[str, str]],
        *,
        device: str,
        threads: int,
        batch_size: int,
        reporter: ProgressReporter | None = None,
    ) -> None:
        from pipeline.scan.steps.score import ScoreActor

        self.batch_size = batch_size
        told = None if reporter is None else reporter.scored
        self.actor = ScoreActor(models, device=device, threads=threads, batch_size=batch_size, told=told)
        if reporter is not None:
            reporter.loaded()
        gc.freeze()  # what lives as long as this process is not walked over again

    def __call__(self, prepared: pa.Table) -> Any:
        """Score a table of `PREPARED`."""
        with metrics.timed(metrics.Stage.SCORE):
            scored = self.actor(prepared)
        metrics.scored(len(prepared) - prepared["pixels"].null_count, self.batch_size)
        return scored


def conclude(
    scored: pa.Table,
    calibrations: Mapping[str, Calibration],
    fingerprint: str,
    *,
    prevalence: float,
    aside: str | None = None,
    reporter: ProgressReporter | None = None,
) -> pa.Table:
    """Write rows as the table holds them; see `pipeline.scan.steps.verdict`.

    Args:
        scored: a table of `SCORED`.
        calibrations: of each model by its digest.
        fingerprint: of the preprocessing.
        prevalence: share of generated images that the probabilities assume.
        aside: where rows of copies wait, where copies are not to be scored; these are left out.
        reporter: is told the outcomes, where somebody watches.
    """
    from pipeline.scan.steps.verdict import conclude as conclude_here
    from pipeline.scan.table.copies import set_aside

    with metrics.timed(metrics.Stage.CONCLUDE):
        rows = conclude_here(scored, calibrations, fingerprint, prevalence=prevalence)
        rows = rows if aside is None else set_aside(rows, aside)
    if reporter is not None:
        reporter.concluded(rows)
    return rows


def survey(trial: Trial, reporter: ProgressReporter | None = None) -> tuple[dict[str, Any], float]:
    """Scan a sample and time its steps; see `pipeline.scan.forecasting.survey`."""
    from pipeline.scan.forecasting.survey import measure

    return measure(trial, None if reporter is None else reporter.scored)
