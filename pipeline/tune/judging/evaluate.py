"""Evaluate: labelled images become figures, and, where one is asked for, a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mole.config import describe
from mole.errors import SettingsError
from mole.preprocess import Preprocess
from pipeline import registry
from pipeline.tune.data.manifest import taught
from pipeline.tune.data.samples import Sample
from pipeline.tune.judging.evaluation import Evaluation, assess
from pipeline.tune.judging.perturbation import ALIGNED, SHIPPED
from pipeline.tune.judging.robustness import GRID
from pipeline.tune.judging.scoring import ANYWHERE, Runner, score

Say = Callable[[str], None]
BOTH = (SHIPPED, ALIGNED)
"""Side by side they show how much of a score is the files' format."""
WHOLE_GRID = "grid"


@dataclass(frozen=True)
class Judged:
    """An evaluation with what it was made of.

    Attributes:
        evaluation: the figures.
        samples: the images.
        scored: a table of `scorer.SCORED`, by place among the samples and delivery.
    """

    evaluation: Evaluation
    samples: Sequence[Sample]
    scored: pa.Table


def evaluate(samples: Sequence[Sample], model: str, deliveries: Sequence[str], say: Say) -> Evaluation:
    """Measure a detector on labelled images, on a Ray that is connected already.

    Args:
        samples: labelled images, both classes.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        deliveries: what is done to every image first, as `perturbation` names it; `grid` stands for many.
        say: told what goes on, a line at a time.

    Raises:
        SettingsError: a class is empty or cannot be read, or there is no such delivery.
        ModelError: the checkpoint cannot be used.
    """
    return judge(samples, model, deliveries, say).evaluation


def judge(
    samples: Sequence[Sample],
    model: str,
    deliveries: Sequence[str],
    say: Say,
    *,
    spec: Preprocess | None = None,
    runner: Runner = ANYWHERE,
) -> Judged:
    """Measure a detector and keep every score.

    Args:
        samples: labelled images, both classes.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        deliveries: what is done to every image first; `grid` stands for many.
        say: told what goes on, a line at a time.
        spec: another view than the checkpoint's.
        runner: where the detector runs.

    Raises:
        SettingsError: a class is empty or cannot be read, or there is no such delivery.
        ModelError: the checkpoint cannot be used.
    """
    names = spread(deliveries)
    demand_both(samples)
    folder = registry.locate(model)
    description = describe(folder)
    say(f"scoring {len(samples):,} images in {len(names)} deliveries with {description.digest}")
    scored = score(samples, model, names, spec=spec, runner=runner)
    chosen = spec or description.preprocess
    evaluation = assess(samples, scored, names, model=description, named=model, view=chosen.fingerprint)
    evaluation = evaluation.model_copy(update={"taught": taught(folder, samples)})
    if evaluation.taught:
        say(f"{evaluation.taught:,} of {len(samples):,} images taught this version or set its thresholds")
    for status, count in evaluation.excluded.items():
        say(f"{count:,} of {len(samples):,} images are {status} and count nowhere")
    return Judged(evaluation, samples, scored)


def spread(deliveries: Sequence[str]) -> tuple[str, ...]:
    """Write `grid` out; as shipped always comes first, since flips are counted against it."""
    named = [name for given in deliveries for name in (GRID if given == WHOLE_GRID else (given,))]
    return tuple(dict.fromkeys((SHIPPED, *named)))


def demand_both(samples: Sequence[Sample]) -> None:
    """Refuse what no figure can be made of.

    Raises:
        SettingsError: one of the classes is empty.
    """
    fakes = sum(sample.label for sample in samples)
    if not 0 < fakes < len(samples):
        raise SettingsError(
            f"an evaluation needs both classes, got {len(samples) - fakes} real and {fakes} generated images; "
            "name --samples that hold the other one too"
        )
