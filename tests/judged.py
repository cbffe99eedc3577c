"""A small detector's judgement of small pictures, by the steps that a worker takes and without a Ray."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mole.config import describe
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.evaluation.evaluate import ScoredEvaluation
from pipeline.tune.evaluation.evaluation_result import summarize
from pipeline.tune.evaluation.perturbed_views import view_samples
from pipeline.tune.evaluation.sample_scoring import in_order
from pipeline.tune.evaluation.view_scorer import PLACE, ViewScorer
from tests.pictures import picture

DELIVERIES = ("shipped", "aligned", "jpeg-30")


def labelled(folder: Path, *, each: int = 6) -> list[Sample]:
    """Write pictures of two collections and two generators, one of which brings its own reals; one file is torn."""
    made = []
    kinds = (("photos", 0), ("holiday", 0), ("painter", 1), ("progan", 1), ("progan", 0))
    for kind, (source, label) in enumerate(kinds):
        for number in range(each):
            file = folder / f"{source}-{label}-{number}.jpg"
            file.write_bytes(picture(100 * kind + number))
            made.append(Sample(str(file), label, source))
    torn = folder / "torn.jpg"
    torn.write_bytes(picture(999)[:200])
    return [*made, Sample(str(torn), 0, "photos"), Sample(str(folder / "gone.jpg"), 1, "painter")]


def score_here(samples: Sequence[Sample], model: Path, deliveries: Sequence[str]) -> pa.Table:
    """Score as workers do, in this process."""
    found = describe(model)
    rows = to_table(samples).append_column(PLACE[0], pa.array(range(len(samples)), PLACE[1]))
    scorer = ViewScorer(str(model), found.digest, found.preprocess, device="cpu", threads=1, batch_size=8)
    return in_order(scorer(view_samples(rows, deliveries, found.preprocess)), len(samples), deliveries)


def judge_here(samples: Sequence[Sample], model: Path, deliveries: Sequence[str] = DELIVERIES) -> ScoredEvaluation:
    """Judge as the flow does, in this process."""
    scored, found = score_here(samples, model, deliveries), describe(model)
    view = found.preprocess.fingerprint
    return ScoredEvaluation(
        summarize(samples, scored, deliveries, model=found, named=str(model), view=view), samples, scored
    )
