"""Evaluate: labelled images become figures, those that the version never saw apart from those that taught it.

Legend: N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mole.config import Description, describe
from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline import registry
from pipeline.tune.data.collection import Log
from pipeline.tune.data.manifest import TrainingImages, training_images
from pipeline.tune.data.samples import Sample
from pipeline.tune.judging.evaluation import Evaluation, Which, summarize
from pipeline.tune.judging.perturbation import ALIGNED, SHIPPED
from pipeline.tune.judging.robustness import GRID
from pipeline.tune.judging.scoring import DEFAULT_RUNNER, Runner, score

DEFAULT_DELIVERIES = (SHIPPED, ALIGNED)
"""Side by side they show how much of a score is the files' format."""
WHOLE_GRID = "grid"


@dataclass(frozen=True)
class ScoredEvaluation:
    """An evaluation with what it was made of.

    Attributes:
        evaluation: the figures.
        samples: the images.
        scored: a table of `scorer.SCORED`, by place among the samples and delivery.
    """

    evaluation: Evaluation
    samples: Sequence[Sample]
    scored: pa.Table


@dataclass(frozen=True)
class EvaluateOptions:
    """How images are judged.

    Attributes:
        spec: another view than the checkpoint's.
        runner: where the detector runs.
        seen: judge the images that taught the version too, apart from the others.
        taught: what counts as seen; what the checkpoint itself tells where None.
    """

    spec: Preprocess | None = None
    runner: Runner = DEFAULT_RUNNER
    seen: bool = False
    training_images: TrainingImages | None = None


def evaluate(samples: Sequence[Sample], model: str, deliveries: Sequence[str], log: Log) -> Evaluation:
    """Measure a detector on those of some labelled images that it never saw, on a Ray that is connected already.

    Args:
        samples: labelled images, both classes.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        deliveries: what is done to every image first, as `perturbation` names it; `grid` stands for many.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: a class is empty or cannot be read, or there is no such delivery.
        ModelError: the checkpoint cannot be used.
    """
    return evaluate_with_scores(samples, model, deliveries, log).evaluation


def evaluate_with_scores(
    samples: Sequence[Sample], model: str, deliveries: Sequence[str], log: Log, how: EvaluateOptions | None = None
) -> ScoredEvaluation:
    """Measure a detector and keep every score.

    Args:
        samples: labelled images, both classes.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        deliveries: what is done to every image first; `grid` stands for many.
        log: receives progress messages, one line each.
        how: view, place, and what is done with images that the version has seen.

    Returns:
        The figures of what it never saw, with those of what it saw apart where they are wanted, and the scores behind
        the former. Where nothing is left that it never saw, those of what it saw, if they are wanted.

    Raises:
        SettingsError: a class is empty or cannot be read, or there is no such delivery.
        ModelError: the checkpoint cannot be used.
    """
    how = how or EvaluateOptions()
    names = expand_grid(deliveries)
    described, known = _known(model, how)
    chosen = [sample for sample in samples if how.seen or not known.contains(sample)]
    check_both_classes(chosen, len(samples) - len(chosen))
    log(f"scoring {len(chosen):,} images in {len(names)} deliveries with {described.digest}")
    scored = score(chosen, model, names, spec=how.spec, runner=how.runner)
    seen_N = seen_mask(chosen, scored, known, len(names))
    view = (how.spec or described.preprocess).fingerprint
    halves: dict[Which, ScoredEvaluation] = {}
    masks: dict[Which, NDArray[np.bool_]] = {"unseen" if known.listed else "unknown": ~seen_N, "seen": seen_N}
    for which, mask_N in masks.items():
        own, rows = _part(chosen, scored, mask_N, len(names))
        if len({sample.label for sample in own}) == 2 and (how.seen or which != "seen"):
            found = summarize(own, rows, names, model=described, named=model, view=view)
            update: dict[str, Any] = {"which": which, "taught": len(own) if which == "seen" else 0}
            halves[which] = ScoredEvaluation(found.model_copy(update=update), own, rows)
    if not halves:
        check_both_classes([sample for sample, own in zip(chosen, seen_N, strict=True) if not own], len(samples))
    first = next(iter(halves.values()))
    out = 0 if how.seen else len(samples) - len(first.samples)
    teachers = tuple(sorted({one.source for one in first.samples if {one.source, one.part} & known.sources}))
    apart = halves["seen"].evaluation if "seen" in halves and first.evaluation.which != "seen" else None
    final = first.evaluation.model_copy(update={"left_out": out, "teachers": teachers, "apart": apart})
    for line in log_lines(final):
        log(line)
    return ScoredEvaluation(final, first.samples, first.scored)


def log_lines(found: Evaluation) -> list[str]:
    """Tell which images these are, and which count nowhere."""
    lines = []
    if found.left_out:
        lines.append(f"{found.left_out:,} images taught this version or set its thresholds, and are left out")
    if found.which == "unknown":
        named = f"; by their names these taught it: {', '.join(found.teachers)}" if found.teachers else ""
        lines.append(f"{found.digest} keeps no list of the images that taught it, so none could be left out{named}")
    if found.which == "seen":
        lines.append(
            f"all {found.samples:,} images taught this version or set its thresholds: these figures flatter it"
        )
    lines += [
        f"{count:,} of {found.samples:,} images are {status} and count nowhere"
        for status, count in found.excluded.items()
    ]
    return lines


def seen_mask(samples: Sequence[Sample], scored: pa.Table, known: TrainingImages, deliveries: int) -> NDArray[np.bool_]:
    """Find the samples that taught a version, by their place or by their content.

    Args:
        samples: that were scored.
        scored: a table of `SCORED`, which has its deliveries by turns.
        known: what taught the version.
        deliveries: how many there are.

    Returns:
        bool (N,).
    """
    digests = scored["digest"].to_pylist()[::deliveries]
    pairs = zip(samples, digests, strict=True)
    return np.array([known.contains(sample) or digest in known.digests for sample, digest in pairs], np.bool_)


def _known(model: str, how: EvaluateOptions) -> tuple[Description, TrainingImages]:
    """Read a checkpoint's settings, and what counts as seen."""
    described = describe(registry.locate(model))
    return described, training_images(described) if how.training_images is None else how.training_images


def _part(
    samples: Sequence[Sample], scored: pa.Table, mask_N: NDArray[np.bool_], deliveries: int
) -> tuple[list[Sample], pa.Table]:
    """Take some samples, bool (N,), and their rows."""
    own = [sample for sample, wanted in zip(samples, mask_N, strict=True) if wanted]
    return own, scored.filter(pa.array(np.repeat(mask_N, deliveries)))


def expand_grid(deliveries: Sequence[str]) -> tuple[str, ...]:
    """Write `grid` out; as shipped always comes first, since flips are counted against it."""
    named = [name for given in deliveries for name in (GRID if given == WHOLE_GRID else (given,))]
    return tuple(dict.fromkeys((SHIPPED, *named)))


def check_both_classes(samples: Sequence[Sample], left_out: int = 0) -> None:
    """Refuse what no figure can be made of.

    Args:
        samples: to be judged.
        left_out: how many more there were, which taught the version.

    Raises:
        SettingsError: one of the classes is empty.
    """
    fakes = sum(sample.label for sample in samples)
    if not 0 < fakes < len(samples):
        raise SettingsError(
            f"an evaluation needs both classes, got {len(samples) - fakes} real and {fakes} generated images"
            + (f" that the version never saw, {left_out:,} that taught it are left out" if left_out else "")
            + "; name --samples that hold the other one too"
            + (", or see what it makes of the others with --seen" if left_out else "")
        )
