"""Workers: the stages of a scan as Ray runs them on workers, importable by the driver without torch.

The imports stand inside the functions on purpose: torch takes seconds of a core and much memory, and the driver, which
only plans and counts, needs none of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess
from pipeline.scan.forecasting.sample_spec import SampleSpec
from pipeline.scan.table.deduplicator import Claims
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter

Score = Callable[[pa.Table, Callable[[int], None] | None], pa.Table]
"""Scores a table of `PREPARED`, and calls back with the number of images of each forward pass; returns `SCORED`."""


def prepare(
    fetched: pa.Table,
    spec: Preprocess,
    bounds: tuple[int, int, int],
    *,
    isolated: bool = False,
    content_index: str | None = None,
    claims: Claims | None = None,
) -> pa.Table:
    """Decode a block of images and cut their views; see `pipeline.scan.steps.prepare`.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        bounds: maximum bytes, maximum pixels, minimum pixels of a side.
        isolated: decode in child processes; else only where the workers of this task have died twice.
        content_index: the URL of the verdicts by content hash; None to score every image.
        claims: decides which of several equal images is scored; None scores each.
    """
    from pipeline.images.decode import Bounds
    from pipeline.scan.steps import prepare as steps
    from pipeline.scan.table.content_index import open_index

    decode = steps.choose_decoder(spec, Bounds(*bounds), isolated=isolated)
    index = None if content_index is None else open_index(content_index)
    with metrics.record_duration(metrics.Stage.PREPARE):
        return steps.prepare(fetched, spec, decode, index=index, claim=None if claims is None else claims.claim)


def conclude(
    scored: pa.Table,
    calibrations: Mapping[str, Calibration],
    fingerprint: str,
    *,
    prevalence: float,
    deferred: str | None = None,
    reporter: ProgressReporter | None = None,
) -> pa.Table:
    """Turn scores into rows of the verdict table; see `pipeline.scan.steps.verdict`.

    Args:
        scored: a table of `SCORED`.
        calibrations: each model's, by its digest.
        fingerprint: of the preprocessing.
        prevalence: share of generated images that the probabilities assume.
        deferred: with `--dedupe`, the URL prefix under which rows of duplicates wait; they are left out of the result.
        reporter: receives the outcomes; None where no progress is shown.
    """
    from pipeline.scan.steps.verdict import conclude as conclude_here
    from pipeline.scan.table.duplicates import defer_duplicates

    with metrics.record_duration(metrics.Stage.CONCLUDE):
        rows = conclude_here(scored, calibrations, fingerprint, prevalence=prevalence)
        rows = rows if deferred is None else defer_duplicates(rows, deferred)
    if reporter is not None:
        reporter.concluded(rows)
    return rows


def load_detectors(models: Sequence[tuple[str, str]], *, device: str, threads: int, batch_size: int) -> Score:
    """Load detectors that share a backbone; see `pipeline.scan.steps.score`.

    Args:
        models: location and digest of each.
        device: `auto`, `cpu` or `cuda`.
        threads: cores of a forward pass on CPU.
        batch_size: images of a forward pass.

    Raises:
        ModelError: a checkpoint cannot be used.
    """
    from pipeline.scan.steps.score import ScoreActor

    return ScoreActor(models, device=device, threads=threads, batch_size=batch_size)


def measure_sample(spec: SampleSpec, reporter: ProgressReporter | None = None) -> tuple[dict[str, Any], float]:
    """Scan a sample and time its stages; see `pipeline.scan.forecasting.measurement`."""
    from pipeline.scan.forecasting.measurement import measure

    return measure(spec, None if reporter is None else reporter.scored)
