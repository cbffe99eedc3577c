"""Cross-validation: train every method on every fold, score what each fold held out, and compare the methods."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from pipeline.tune.data.align import Aligner
from pipeline.tune.data.collection import TEST, VALIDATION, Collection, Log, collect
from pipeline.tune.data.split import TRAIN
from pipeline.tune.evaluation.comparison import Cost, MethodComparison, compare_methods
from pipeline.tune.evaluation.held_out_logits import held_out_rows, image_name
from pipeline.tune.evaluation.model_card import model_card
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.training.auditing import choose_aligner, has_validation
from pipeline.tune.training.base_checkpoint import base_checkpoint
from pipeline.tune.training.cached_views import cache_views, requested_views
from pipeline.tune.training.fold import FoldResult
from pipeline.tune.training.fold_splits import Fold, check_folds, make_folds, without_shared_groups
from pipeline.tune.training.held_out_contents import estimate_contents
from pipeline.tune.training.recipe import NO_TOKENS
from pipeline.tune.training.settings import CrossvalidateSettings
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.training_run import TrainingRun, prepare, with_precision

DEFAULT_METHOD = "recipe"
"""Name of the only method of a recipe without variations."""
LOGITS, FIGURES, CARDS = "held.parquet", "ladder.json", "ladder.md"


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
    tokens = settings.token_cache or str((settings.output / "tokens").absolute())
    if tokens == NO_TOKENS:
        raise SettingsError(
            f"crossvalidate needs the token cache, since every fold reads most tokens again; "
            f"omit --token-cache {NO_TOKENS}"
        )
    settings = settings.model_copy(update={"token_cache": tokens})
    recipes = {name: settings.varied(name) for name in settings.methods} or {DEFAULT_METHOD: settings}
    place = storage.absolute(str(settings.output))
    bases = {name: base_checkpoint(recipe, place) for name, recipe in recipes.items()}  # checked before Ray starts
    ProgressDisplay.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.unwrapped_errors(),
    ):
        layout = cluster.plan_layout(settings.device, actors=None, batch_size=None, rows_per_file=None)
        recipes = {name: with_precision(recipe, layout.device) for name, recipe in recipes.items()}
        collection = collect(settings, log)
        check_folds(collection, settings)
        collection = without_shared_groups(collection, settings.folds)
        folds = [
            fold
            for name, recipe in recipes.items()
            for fold in make_folds(name, recipe, bases[name], settings, collection)
        ]
        shown = fill_caches(folds, settings, collection)
        aligners = audit_folds(folds, settings, log)
        runs = (prepare_fold(fold, aligners[fold.audit], settings) for fold in folds)
        results = list(train_folds(folds, runs, settings.workers, layout.device, log))
    table = pa.concat_tables(
        [part for fold, one in zip(folds, results, strict=True) for part in logit_rows(fold, one, shown)]
    )
    costs = {name: method_cost(folds, results, name) for name in recipes}
    measured = f"{datetime.now(UTC):%F}, {settings.workers} trainings in parallel on {layout.device}"
    return write_results(
        settings, table, compare_methods(table, costs, aim=settings.false_positive_rate, measured=measured)
    )


def fill_caches(folds: Sequence[Fold], settings: CrossvalidateSettings, collection: Collection) -> Mapping[str, str]:
    """Run each tower once over every view that any fold of any method needs.

    Methods with the same tower, view, dtype, seed and variants share a pass. Methods that align their samples are left
    out: their views depend on the fold, and are cached when the fold is prepared.

    Args:
        folds: of all methods.
        settings: names the folds' collections and the perturbations.
        collection: all samples.

    Returns:
        The content of held-out images, by the first tower's features; see `estimate_contents`.
    """
    groups: dict[object, list[Fold]] = {}
    for fold in folds:
        task, recipe = fold.task, fold.recipe
        if fold.number == 0 and not recipe.align:
            views = fold.base.digest, task.spec, task.bfloat16, task.seed, recipe.augmentations, has_validation(recipe)
            groups.setdefault(views, []).append(fold)
    every = range(len(collection.samples))
    held_out = {name for names in settings.folds for name in names}
    tested = [index for index in every if collection.samples[index].collection in held_out]
    shown: dict[str, str] = {}
    for group in groups.values():
        recipe, spec = group[0].recipe, group[0].task.spec
        indices = {TRAIN: every, VALIDATION: every if has_validation(recipe) else (), TEST: tested}
        requested = requested_views(indices, spec, recipe.augmentations, settings.perturbations)
        keys = cache_views([fold.detector for fold in group], (collection, None), requested)
        if not shown:
            samples = [collection.samples[index] for index in tested]
            cache = TokenCache(group[0].detector.folder)
            shown = estimate_contents(cache, keys[ORIGINAL][:: spec.crops], samples, seed=group[0].task.seed)
    return shown


def audit_folds(
    folds: Sequence[Fold], settings: CrossvalidateSettings, log: Log
) -> dict[tuple[object, ...], Aligner | None]:
    """Audit the training samples of each fold, once for all methods that train on the same.

    Args:
        folds: of all methods.
        settings: names the folds' collections.
        log: receives progress messages, one line each.

    Returns:
        The aligner of each fold by `Fold.audit`; None if the method does not align.

    Raises:
        SettingsError: properties of the files leak the label.
    """
    aligners: dict[tuple[object, ...], Aligner | None] = {}
    for fold in folds:
        if fold.audit not in aligners:
            names = ", ".join(settings.folds[fold.number])
            log(f"fold {fold.number}, without {names}: {fold.collection}")
            aligners[fold.audit] = choose_aligner(fold.recipe, fold.collection, log)
    return aligners


def prepare_fold(fold: Fold, aligner: Aligner | None, settings: CrossvalidateSettings) -> TrainingRun:
    """Prepare the training of a fold.

    Args:
        fold: one method on one fold.
        aligner: of its samples, if it aligns them.
        settings: names the perturbations.

    Raises:
        SettingsError: a stage has samples of one class only.
    """
    data = fold.collection, aligner
    return prepare(fold.recipe, fold.task, fold.base, data, perturbations=settings.perturbations)


def train_folds(
    folds: Sequence[Fold], runs: Iterator[TrainingRun], parallel: int, device: str, log: Log
) -> Iterator[FoldResult]:
    """Run the trainings, `parallel` at a time, and yield their results in order; they share the GPUs evenly.

    Args:
        folds: of all methods.
        runs: their trainings; each is prepared when there is room for it.
        parallel: number of trainings at a time.
        device: `cpu` or `cuda`.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: a training cannot be prepared.
        ModelError: the loss of a training is not finite.
    """
    gpus = ray.cluster_resources().get("GPU", 0) if device == "cuda" else 0  # type: ignore[no-untyped-call]
    remote = ray.remote(workers.train_fold).options(num_cpus=1, num_gpus=min(1, gpus / parallel))
    started: list[ray.ObjectRef[FoldResult]] = []
    progress = ProgressDisplay.shown()
    with progress.during("training", len(folds), "folds"):
        for number, fold in enumerate(folds):
            while len(started) < min(len(folds), number + parallel):
                run = next(runs)
                started.append(remote.remote(run.task, run.cached, run.plan, run.test_views, device))
            result = ray.get(started[number])
            progress.advance()
            log(f"{fold.method}, fold {fold.number}: {result.seconds:.0f} s")
            yield result


def logit_rows(fold: Fold, result: FoldResult, shown: Mapping[str, str]) -> list[pa.Table]:
    """Write the logits of a fold as rows of `HELD_OUT`, with the contents of its images, as far as they are known."""
    samples = [
        replace(sample, content=shown.get(image_name(sample), sample.content)) for sample in fold.collection.of(TEST)
    ]
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
    cards = (f"# {method}\n\n{model_card(comparison, method)}" for method in comparison.methods)
    (settings.output / CARDS).write_text("\n".join(cards))
    return comparison
