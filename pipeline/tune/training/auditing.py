"""Audit before a training: checks whether file properties leak the label, and chooses the alignment against it."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mole.errors import SettingsError
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.align import Aligner, aligner
from pipeline.tune.data.audit import audit, verdict_of
from pipeline.tune.data.collection import Collection, Log
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.recipe import Recipe


def choose_aligner(settings: Recipe, collection: Collection, log: Log) -> Aligner | None:
    """Audit the training split, and build the aligner if the settings ask for one.

    Raises:
        SettingsError: properties of the files leak the label, and the settings neither align nor accept it.
    """
    rows = collection.rows_of(TRAIN)
    ProgressDisplay.shown().enter("comparing the classes")
    verdict = verdict_of(audit(collection.of(TRAIN), rows, seed=settings.seed), settings.max_leak)
    log(f"audit of the training split: {verdict.told}")
    if verdict.leaks and not (settings.align or settings.accept_leak):
        raise SettingsError(f"{verdict.told}; train with --align, or accept it with --accept-leak")
    if not settings.align:
        return None
    fake = pc.equal(pa.array([sample.label for sample in collection.of(TRAIN)]), 1)
    return aligner(rows.filter(pc.invert(fake)), rows.filter(fake))


def has_both_classes(samples: Sequence[Sample]) -> bool:
    """Return whether there are real and generated images among the samples."""
    return len({sample.label for sample in samples}) == 2


def has_validation(recipe: Recipe) -> bool:
    """Return whether there is a validation split, which decides when to stop."""
    return bool(recipe.hold_out or recipe.validation_share)
