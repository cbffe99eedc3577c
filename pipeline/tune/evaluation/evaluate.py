"""Evaluate: score labelled images, separate those that the version was trained on, and compute the metrics.

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
from pipeline.telemetry.printable import counted
from pipeline.tune.data.collection import Log
from pipeline.tune.data.manifest import TrainingImages, training_images
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.evaluation_result import Evaluation, Which, summarize
from pipeline.tune.evaluation.perturbation import ALIGNED, ORIGINAL
from pipeline.tune.evaluation.robustness import GRID
from pipeline.tune.evaluation.sample_scoring import DEFAULT_RUNNER, Runner, score

DEFAULT_PERTURBATIONS = (ORIGINAL, ALIGNED)
"""The difference between the two shows how much of a score is due to file properties."""
GRID_NAME = "grid"


@dataclass(frozen=True)
class ScoredEvaluation:
    """An evaluation with the scores it was computed from.

    Attributes:
        evaluation: the metrics.
        samples: the images.
        scored: a table of `scorer.SCORED`, by sample index and perturbation.
    """

    evaluation: Evaluation
    samples: Sequence[Sample]
    scored: pa.Table


@dataclass(frozen=True)
class EvaluateOptions:
    """How images are evaluated.

    Attributes:
        spec: preprocessing; None for the checkpoint's.
        runner: where the detector runs.
        seen: also evaluate images that the version was trained on, separately from the others.
        training_images: what counts as seen; None for the list of the checkpoint.
    """

    spec: Preprocess | None = None
    runner: Runner = DEFAULT_RUNNER
    seen: bool = False
    training_images: TrainingImages | None = None


def evaluate(samples: Sequence[Sample], model: str, perturbations: Sequence[str], log: Log) -> Evaluation:
    """Evaluate a detector on labelled images, leaving out those it was trained on; Ray must be connected.

    Args:
        samples: labelled images, both classes.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        perturbations: names of perturbations, as `perturbation` has them; `grid` stands for many.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: a class is empty or cannot be read, or there is no such perturbation.
        ModelError: the checkpoint cannot be used.
    """
    return evaluate_with_scores(samples, model, perturbations, log).evaluation


def evaluate_with_scores(
    samples: Sequence[Sample], model: str, perturbations: Sequence[str], log: Log, how: EvaluateOptions | None = None
) -> ScoredEvaluation:
    """Evaluate a detector and return the scores as well.

    Args:
        samples: labelled images, both classes.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        perturbations: names of perturbations; `grid` stands for many.
        log: receives progress messages, one line each.
        how: view, device, and what is done with images that the version was trained on.

    Returns:
        The metrics of unseen images, with those of seen images as `apart` if they are requested, and the scores of the
        unseen images. If there are no unseen images, those of the seen ones, if they are requested.

    Raises:
        SettingsError: a class is empty or cannot be read, or there is no such perturbation.
        ModelError: the checkpoint cannot be used.
    """
    how = how or EvaluateOptions()
    names = expand_grid(perturbations)
    described, known = _known(model, how)
    chosen = [sample for sample in samples if how.seen or not known.contains(sample)]
    check_both_classes(chosen, len(samples) - len(chosen))
    log(f"scoring {counted(len(chosen), 'image')} under {counted(len(names), 'perturbation')} with {described.digest}")
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
    """Describe which images were evaluated, and which were left out."""
    lines = []
    if found.left_out:
        lines.append(f"left out {found.left_out:,} images that this version was trained or calibrated on")
    if found.which == "unknown":
        named = f"; judging by name, it was trained on {', '.join(found.teachers)}" if found.teachers else ""
        lines.append(f"{found.digest} does not list its training images, so none could be left out{named}")
    if found.which == "seen":
        lines.append(
            f"this version was trained or calibrated on all {found.samples:,} images, so these metrics are too good"
        )
    lines += [
        f"{count:,} of {found.samples:,} images are {status} and not counted"
        for status, count in found.excluded.items()
    ]
    return lines


def seen_mask(
    samples: Sequence[Sample], scored: pa.Table, known: TrainingImages, perturbations: int
) -> NDArray[np.bool_]:
    """Find the samples that a version was trained on, by location or content.

    Args:
        samples: that were scored.
        scored: a table of `SCORED`, by sample and then perturbation.
        known: training images of the version.
        perturbations: number of perturbations.

    Returns:
        bool (N,).
    """
    digests = scored["digest"].to_pylist()[::perturbations]
    pairs = zip(samples, digests, strict=True)
    return np.array([known.contains(sample) or digest in known.digests for sample, digest in pairs], np.bool_)


def _known(model: str, how: EvaluateOptions) -> tuple[Description, TrainingImages]:
    """Read the description of a checkpoint, and which images count as seen."""
    described = describe(registry.locate(model))
    return described, training_images(described) if how.training_images is None else how.training_images


def _part(
    samples: Sequence[Sample], scored: pa.Table, mask_N: NDArray[np.bool_], perturbations: int
) -> tuple[list[Sample], pa.Table]:
    """Select samples, bool (N,), and their rows."""
    own = [sample for sample, wanted in zip(samples, mask_N, strict=True) if wanted]
    return own, scored.filter(pa.array(np.repeat(mask_N, perturbations)))


def expand_grid(perturbations: Sequence[str]) -> tuple[str, ...]:
    """Expand `grid`; `original` always comes first, since changed verdicts are counted against it."""
    named = [name for given in perturbations for name in (GRID if given == GRID_NAME else (given,))]
    return tuple(dict.fromkeys((ORIGINAL, *named)))


def check_both_classes(samples: Sequence[Sample], left_out: int = 0) -> None:
    """Check that there are samples of both classes.

    Args:
        samples: to be evaluated.
        left_out: number of further samples, which the version was trained on.

    Raises:
        SettingsError: one of the classes is empty.
    """
    fakes = sum(sample.label for sample in samples)
    if not 0 < fakes < len(samples):
        raise SettingsError(
            f"an evaluation needs both classes, got {len(samples) - fakes} real and {fakes} generated images"
            + (f" that the version was not trained on; {left_out:,} training images were left out" if left_out else "")
            + "; add --samples that contain both"
            + (", or evaluate the training images with --include-seen" if left_out else "")
        )
