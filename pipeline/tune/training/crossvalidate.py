"""Cross-validation: train every method on every fold, score what each fold held out, and compare the methods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from mole.config import Description
from mole.errors import SettingsError
from mole.tower.hub import architecture_of
from pipeline.runtime import cluster
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune import workers
from pipeline.tune.data.collection import TEST, VALIDATION, Collection, Log, collect
from pipeline.tune.data.split import TRAIN, split_of
from pipeline.tune.judging.card import card
from pipeline.tune.judging.comparison import Cost, MethodComparison, compare_methods
from pipeline.tune.judging.held_out import held_out_rows
from pipeline.tune.training.auditing import choose_aligner, has_both_classes, has_validation
from pipeline.tune.training.bases import base_checkpoint
from pipeline.tune.training.cached_views import CachedDetector, cache_views, requested_views
from pipeline.tune.training.fold import FoldResult
from pipeline.tune.training.recipe import NO_TOKENS, Recipe
from pipeline.tune.training.settings import CrossvalidateSettings
from pipeline.tune.training.task import Task
from pipeline.tune.training.training_run import TrainingRun, is_held_out, prepare, task_of

DEFAULT_METHOD = "recipe"
"""Name of the only method of a recipe without variations."""
RUNS, LOGITS, FIGURES, CARDS = "runs", "held.parquet", "ladder.json", "ladder.md"


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


def crossvalidate(settings: CrossvalidateSettings, log: Log) -> MethodComparison:
    """Compare the variations of a recipe on collections that none of them was trained on, and write the results.

    Args:
        settings: the recipe, its variations and the folds.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: samples, folds or variations are refused.
        StorageError: a store failed.
        ModelError: the base cannot be used, or the loss of a training is not finite.
    """
    tokens = settings.tokens or str((settings.output / "tokens").absolute())
    if tokens == NO_TOKENS:
        raise SettingsError(
            f"crossvalidate needs the token cache, since every fold reads most tokens again; omit --tokens {NO_TOKENS}"
        )
    settings = settings.model_copy(update={"tokens": tokens})
    recipes = {name: settings.varied(name) for name in settings.methods} or {DEFAULT_METHOD: settings}
    place = storage.absolute(str(settings.output))
    bases = {name: base_checkpoint(recipe, place) for name, recipe in recipes.items()}  # checked before Ray starts
    ProgressDisplay.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.unwrapped_errors(),
    ):
        collection = collect(settings, log)
        check_folds(collection, settings)
        collection = without_shared_groups(collection, settings.folds)
        folds = [
            fold
            for name, recipe in recipes.items()
            for fold in make_folds(name, recipe, bases[name], settings, collection)
        ]
        fill_caches(folds, settings, collection)
        runs = [prepare_fold(fold, settings, log) for fold in folds]
        layout = cluster.lay_out(settings.device, actors=None, batch_size=None, rows_per_file=None)
        results = list(train_folds(folds, runs, settings.workers, layout.device, log))
    table = pa.concat_tables([part for fold, one in zip(folds, results, strict=True) for part in logit_rows(fold, one)])
    costs = {name: method_cost(folds, results, name) for name in recipes}
    measured = f"{datetime.now(UTC):%F}, {settings.workers} trainings in parallel on {layout.device}"
    return write_results(
        settings, table, compare_methods(table, costs, aim=settings.false_positive_rate, measured=measured)
    )


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


def fill_caches(folds: Sequence[Fold], settings: CrossvalidateSettings, collection: Collection) -> None:
    """Run each tower once over every view that any fold of any method needs.

    Methods with the same tower, view, dtype, seed and variants share a pass. Methods that align their samples are left
    out: their views depend on the fold, and are cached when the fold is prepared.

    Args:
        folds: of all methods.
        settings: names the folds' collections and the perturbations.
        collection: all samples.
    """
    groups: dict[object, list[Fold]] = {}
    for fold in folds:
        task, recipe = fold.task, fold.recipe
        if fold.number == 0 and not recipe.align:
            views = fold.base.digest, task.spec, task.bfloat16, task.seed, recipe.deliveries, has_validation(recipe)
            groups.setdefault(views, []).append(fold)
    every = range(len(collection.samples))
    held_out = {name for names in settings.folds for name in names}
    tested = [index for index in every if collection.samples[index].collection in held_out]
    for group in groups.values():
        recipe, spec = group[0].recipe, group[0].task.spec
        indices = {TRAIN: every, VALIDATION: every if has_validation(recipe) else (), TEST: tested}
        requested = requested_views(indices, spec, recipe.deliveries, settings.judged)
        cache_views([fold.detector for fold in group], (collection, None), requested)


def prepare_fold(fold: Fold, settings: CrossvalidateSettings, log: Log) -> TrainingRun:
    """Audit the samples of a fold, and prepare its training.

    Args:
        fold: one method on one fold.
        settings: names the folds' collections and the perturbations.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: file properties alone give the classes away, or a stage has samples of one class only.
    """
    names = ", ".join(settings.folds[fold.number])
    log(f"{fold.method}, fold {fold.number}, without {names}: {fold.collection}")
    aligner = choose_aligner(fold.recipe, fold.collection, log)
    data = fold.collection, aligner
    return prepare(fold.recipe, fold.task, fold.base, data, perturbations=settings.judged)


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


def train_folds(
    folds: Sequence[Fold], runs: Sequence[TrainingRun], parallel: int, device: str, log: Log
) -> Iterator[FoldResult]:
    """Run the trainings, `parallel` at a time, and yield their results in order."""
    remote = ray.remote(workers.train_fold).options(num_cpus=1, num_gpus=1 if device == "cuda" else 0)
    started: list[ray.ObjectRef[FoldResult]] = []
    progress = ProgressDisplay.shown()
    with progress.during("training", len(folds), "folds"):
        for number, fold in enumerate(folds):
            while len(started) < min(len(folds), number + parallel):
                run = runs[len(started)]
                started.append(remote.remote(run.task, run.cached, run.plan, run.test_views, device))
            result = ray.get(started[number])
            progress.advance()
            log(f"{fold.method}, fold {fold.number}: {result.seconds:.0f} s")
            yield result


def logit_rows(fold: Fold, result: FoldResult) -> list[pa.Table]:
    """Write the logits of a fold as rows of `HELD_OUT`."""
    samples = fold.collection.of(TEST)
    return [
        held_out_rows(samples, np.array(logits, np.float32), method=fold.method, fold=fold.number, delivery=name)
        for name, logits in result.logits.items()
    ]


def method_cost(folds: Sequence[Fold], results: Sequence[FoldResult], method: str) -> Cost:
    """Return the cost of a method: trained parameters, blocks that run, views per image, seconds per fold."""
    own = [(fold, result) for fold, result in zip(folds, results, strict=True) if fold.method == method]
    fold, result = own[0]
    return Cost(
        parameters=result.parameters,
        blocks=tower_blocks(fold.base, fold.task.detector.reads),
        passes=fold.task.spec.crops,
        training_seconds=float(np.mean([result.seconds for _, result in own])),
    )


def tower_blocks(base: Description, reads: Sequence[int]) -> int:
    """Count the blocks of the tower that run."""
    backbone = base.config.backbone
    return reads[-1] if reads else (backbone.architecture or architecture_of(backbone.name)).layers


def write_results(settings: CrossvalidateSettings, table: pa.Table, comparison: MethodComparison) -> MethodComparison:
    """Write logits, metrics and cards to the output folder."""
    settings.output.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, settings.output / LOGITS)
    (settings.output / FIGURES).write_text(comparison.model_dump_json(indent=2) + "\n")
    cards = (f"# {method}\n\n{card(comparison, method)}" for method in comparison.methods)
    (settings.output / CARDS).write_text("\n".join(cards))
    return comparison
