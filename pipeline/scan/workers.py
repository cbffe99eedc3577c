"""Workers: the stages of a scan as Ray runs them on workers, importable by the driver without torch.

The imports stand inside the functions on purpose: torch takes seconds of a core and much memory, and the driver, which
only plans and counts, needs none of it.
"""

import gc
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray

from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess
from pipeline.scan.forecasting.sample_spec import SampleSpec
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter


def prepare(
    fetched: pa.Table,
    spec: Preprocess,
    bounds: tuple[int, int, int],
    content_index: str | None = None,
    deduplicator: Any = None,
) -> pa.Table:
    """Decode a block of images and cut their views; see `pipeline.scan.steps.prepare`.

    Where the workers of this task have died twice, each image is decoded in a process of its own.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        bounds: maximum bytes, maximum pixels, minimum pixels of a side.
        content_index: the URL of the verdicts by content hash; None to score every image.
        deduplicator: the handle of the actor that decides which of several equal images is scored; None scores each.
    """
    from pipeline.images.decode import Bounds
    from pipeline.scan.steps import prepare as steps
    from pipeline.scan.table.content_index import open_index

    decode = steps.choose_decoder(spec, Bounds(*bounds))

    def claim(contents: Sequence[bytes], places: Sequence[str]) -> Sequence[bool]:
        """Ask the actor which of these images are scored."""
        answer: Sequence[bool] = ray.get(deduplicator.claim.remote(list(contents), list(places)))
        return answer

    index = None if content_index is None else open_index(content_index)
    with metrics.record_duration(metrics.Stage.PREPARE):
        return steps.prepare(fetched, spec, decode, index=index, claim=None if deduplicator is None else claim)


class Scorer:
    """The scoring actor; see `pipeline.scan.steps.score`."""

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
        on_scored = None if reporter is None else reporter.scored
        self.actor = ScoreActor(models, device=device, threads=threads, batch_size=batch_size, on_scored=on_scored)
        if reporter is not None:
            reporter.loaded()
        gc.freeze()  # what lives as long as this process is not collected again

    def __call__(self, prepared: pa.Table) -> Any:
        """Score a table of `PREPARED`."""
        with metrics.record_duration(metrics.Stage.SCORE):
            scored = self.actor(prepared)
        metrics.record_batch(len(prepared) - prepared["pixels"].null_count, self.batch_size)
        return scored


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


def measure_sample(spec: SampleSpec, reporter: ProgressReporter | None = None) -> tuple[dict[str, Any], float]:
    """Scan a sample and time its stages; see `pipeline.scan.forecasting.measurement`."""
    from pipeline.scan.forecasting.measurement import measure

    return measure(spec, None if reporter is None else reporter.scored)
