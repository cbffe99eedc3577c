"""Fold splits: which samples each fold of a cross-validation holds out, and what each method trains on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mole.config import Description
from mole.errors import SettingsError
from pipeline.storage import storage
from pipeline.tune.data.collection import TEST, VALIDATION, Collection
from pipeline.tune.data.split import TRAIN, split_of
from pipeline.tune.training.auditing import has_both_classes
from pipeline.tune.training.cached_views import CachedDetector
from pipeline.tune.training.recipe import Recipe
from pipeline.tune.training.settings import CrossvalidateSettings
from pipeline.tune.training.task import Task
from pipeline.tune.training.training_run import is_held_out, task_of

RUNS = "runs"
"""Folder of the output that holds the trainings."""


@dataclass(frozen=True)
class Fold:
    """One method on one fold.

    Attributes:
        method: name of the variation.
        number: of the fold, from 0.
        recipe: of the method.
        base: checkpoint that the method starts from.
        collection: the samples, with the held-out ones as the test split.
        task: of the training.
    """

    method: str
    number: int
    recipe: Recipe
    base: Description
    collection: Collection
    task: Task

    @property
    def detector(self) -> CachedDetector:
        """The detector whose tokens are cached."""
        return CachedDetector(self.recipe, self.task, self.base)

    @property
    def audit(self) -> tuple[object, ...]:
        """What the audit of the training samples depends on; methods that agree in it share one."""
        recipe = self.recipe
        given = recipe.align, recipe.accept_leak, recipe.max_leak, recipe.seed
        return self.number, recipe.validation_share, recipe.hold_out, *given


def make_folds(
    method: str,
    recipe: Recipe,
    base: tuple[str, Description],
    settings: CrossvalidateSettings,
    collection: Collection,
) -> Iterator[Fold]:
    """Split the samples for each fold, and build the task of each training.

    Args:
        method: its name.
        recipe: of the method.
        base: where every machine finds the checkpoint that it starts from, and its description.
        settings: the folds.
        collection: all samples.

    Yields:
        One fold after the other.
    """
    runs = storage.absolute(str(settings.output / RUNS))
    for number, names in enumerate(settings.folds):
        own = fold_split(collection, names, recipe)
        yield Fold(method, number, recipe, base[1], own, task_of(recipe, base, own, runs))


def fold_split(collection: Collection, names: Sequence[str], recipe: Recipe) -> Collection:
    """Split samples for a fold: its collections are the test split, and groups shared with them are left out."""
    is_test = [sample.collection in names for sample in collection.samples]
    test_groups = {
        sample.group for sample, own in zip(collection.samples, is_test, strict=True) if own and sample.group
    }
    keep = [index for index, own in enumerate(is_test) if own or collection.samples[index].group not in test_groups]
    shares = {VALIDATION: recipe.validation_share} if recipe.validation_share else {}
    splits = []
    for index in keep:
        sample = collection.samples[index]
        validates = is_held_out(sample, recipe.hold_out) or split_of(sample.group, recipe.seed, shares) == VALIDATION
        splits.append(TEST if is_test[index] else VALIDATION if validates else TRAIN)
    return select(collection, keep, splits)


def without_shared_groups(collection: Collection, folds: Sequence[Sequence[str]]) -> Collection:
    """Leave out of later folds the samples whose group also has samples in an earlier fold."""
    fold_of = {name: number for number, names in enumerate(folds) for name in names}
    first: dict[str, int] = {}
    keep = [
        index
        for index, sample in enumerate(collection.samples)
        if (number := fold_of.get(sample.collection)) is None or first.setdefault(sample.group, number) == number
    ]
    return select(collection, keep, [collection.splits[index] for index in keep])


def select(collection: Collection, keep: Sequence[int], splits: list[str]) -> Collection:
    """Select samples of a collection by their indices, and assign their splits."""
    samples = [collection.samples[index] for index in keep]
    return replace(collection, samples=samples, splits=splits, survey=collection.survey.take(keep))


def check_folds(collection: Collection, settings: CrossvalidateSettings) -> None:
    """Refuse folds that cannot be evaluated.

    Raises:
        SettingsError: a collection is not there, a fold lacks a class, or it holds out what decides when to stop.
    """
    known = {sample.collection for sample in collection.samples}
    for names in settings.folds:
        unknown = sorted(set(names) - known)
        if unknown:
            raise SettingsError(f"--folds name {unknown}; the collections here are {sorted(known)}")
        own = [sample for sample in collection.samples if sample.collection in names]
        if not has_both_classes(own):
            raise SettingsError(f"a fold needs both classes, and {list(names)} has only one; merge folds")
        stopping = sorted({sample.source for sample in own if is_held_out(sample, settings.hold_out)})
        if stopping:
            raise SettingsError(
                f"--hold-out {stopping} decide when to stop and cannot be tested in a fold too; remove one"
            )
