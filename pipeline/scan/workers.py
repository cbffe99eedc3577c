"""What Ray calls on workers, by names that cost the driver nothing.

The imports stand inside on purpose: torch takes seconds of a core and much memory, and the driver, which only plans
and counts, needs none of it.
"""

import gc
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mole.preprocess import Preprocess
from pipeline.scan.forecasting.trial import Trial


def prepare(fetched: pa.Table, spec: Preprocess, bounds: tuple[int, int, int], known: str | None = None) -> pa.Table:
    """Decode and view a block; see `pipeline.scan.steps.prepare`.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        bounds: most bytes, most pixels, fewest pixels of a side.
        known: the URL of a file of verdicts by content, where copies are not to be scored again.
    """
    from pipeline.decode import Bounds
    from pipeline.scan.steps.prepare import prepare as prepare_here
    from pipeline.scan.table.known import opened

    return prepare_here(fetched, spec, Bounds(*bounds), None if known is None else opened(known))


class Scorer:
    """An actor that holds detectors; see `pipeline.scan.steps.score`."""

    def __init__(self, models: Sequence[tuple[str, str]], *, device: str, threads: int, batch_size: int) -> None:
        from pipeline.scan.steps.score import ScoreActor

        self.actor = ScoreActor(models, device=device, threads=threads, batch_size=batch_size)
        gc.freeze()  # what lives as long as this process is not walked over again

    def __call__(self, prepared: pa.Table) -> Any:
        """Score a table of `PREPARED`."""
        return self.actor(prepared)


def survey(trial: Trial) -> tuple[dict[str, Any], float]:
    """Scan a sample and time its steps; see `pipeline.scan.forecasting.survey`."""
    from pipeline.scan.forecasting.survey import measure

    return measure(trial)
