"""The flow of a cross-validation: samples, tokens for every method and fold, trainings side by side, the figures."""

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
from pipeline.telemetry.terminal import Ticker
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
from pipeline.tune.training.training_run import TrainingRun, is_held_out, prepare, task_of

DEFAULT_METHOD = "recipe"
"""The name of a recipe without variations."""
RUNS, LOGITS, FIGURES, CARDS = "runs", "held.parquet", "ladder.json", "ladder.md"


@dataclass(frozen=True)
class FoldJob:
    """One training to be done.

    Attributes:
        method: the variation.
        number: of the fold.
        held: the samples, those that it holds out as its test split.
        laid: the training.
    """

    method: str
    number: int
    collection: Collection
    run: TrainingRun


def crossvalidate(settings: CrossvalidateSettings, log: Log) -> MethodComparison:
    """Compare the variations of a recipe on collections that none of them saw, and write the figures.

    Args:
        settings: the recipe, its variations and the folds.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: samples, folds or variations are refused.
        StorageError: a store failed.
        ModelError: the base cannot be used, or a training left the finite numbers.
    """
    kept = settings.tokens or str((settings.output / "tokens").absolute())
    if kept == NO_TOKENS:
        raise SettingsError(
            "crossvalidate keeps tokens, for each fold reads most of them again; leave --tokens none out"
        )
    settings = settings.model_copy(update={"tokens": kept})
    variations = {name: settings.varied(name) for name in settings.methods} or {DEFAULT_METHOD: settings}
    place = storage.absolute(str(settings.output))
    bases = {
        name: base_checkpoint(recipe, place) for name, recipe in variations.items()
    }  # refused before anything is started
    Ticker.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.own_errors(),
    ):
        collection = collect(settings, log)
        check_folds(collection, settings)
        collection = without_shared_groups(collection, settings.folds)
        fill_caches([(recipe, *bases[name]) for name, recipe in variations.items()], settings, collection)
        jobs: list[FoldJob] = []
        for name, recipe in variations.items():
            jobs += prepare_folds(name, (recipe, *bases[name]), settings, collection, log)
        layout = cluster.lay_out(settings.device, actors=None, batch_size=None, rows_per_file=None)
        found = list(train_folds(jobs, settings.workers, layout.device, log))
    table = pa.concat_tables([part for job, one in zip(jobs, found, strict=True) for part in logit_rows(job, one)])
    costs = {name: method_cost(bases[name][1], jobs, found, name) for name in variations}
    measured = f"{datetime.now(UTC):%F}, {settings.workers} trainings side by side on {layout.device}"
    return write_results(
        settings, table, compare_methods(table, costs, aim=settings.false_positive_rate, measured=measured)
    )


def prepare_folds(
    method: str,
    begun: tuple[Recipe, str, Description],
    settings: CrossvalidateSettings,
    collection: Collection,
    log: Log,
) -> Iterator[FoldJob]:
    """Lay down the folds of a method, and make the tokens that are not there yet.

    Args:
        method: its name.
        begun: its recipe, and the base by its name and as it is.
        settings: the folds, and what they are judged in.
        collection: all samples.
        log: receives progress messages, one line each.

    Yields:
        A job a fold.
    """
    recipe, named, base = begun
    runs = storage.absolute(str(settings.output / RUNS))
    for number, names in enumerate(settings.folds):
        own = fold_split(collection, names, recipe)
        log(f"{method}, fold {number}, without {', '.join(names)}: {own}")
        chosen = choose_aligner(recipe, own, log)
        task = task_of(recipe, (named, base), own, runs)
        yield FoldJob(method, number, own, prepare(recipe, task, base, (own, chosen), judged=settings.judged))


def fill_caches(
    begun: Sequence[tuple[Recipe, str, Description]], settings: CrossvalidateSettings, collection: Collection
) -> None:
    """Run each tower once over every view that any fold of any method needs.

    Args:
        begun: of each method its recipe, and the base by its name and as it is. What is aligned depends on the fold.
        settings: the folds, and what they are judged in.
        collection: all samples.
    """
    together: dict[object, list[CachedDetector]] = {}
    for recipe, named, base in begun:
        if not recipe.align:
            task = task_of(recipe, (named, base), collection, storage.absolute(str(settings.output / RUNS)))
            alike = base.digest, task.spec, task.bfloat16, task.seed, recipe.deliveries, has_validation(recipe)
            together.setdefault(alike, []).append(CachedDetector(recipe, task, base))
    every = range(len(collection.samples))
    folded = {name for names in settings.folds for name in names}
    shown = [place for place in every if collection.samples[place].collection in folded]
    for detectors in together.values():
        recipe, spec = detectors[0].recipe, detectors[0].task.spec
        places = {TRAIN: every, VALIDATION: every if has_validation(recipe) else (), TEST: shown}
        cache_views(detectors, (collection, None), requested_views(places, spec, recipe.deliveries, settings.judged))


def fold_split(collection: Collection, names: Sequence[str], recipe: Recipe) -> Collection:
    """Split a collection for a fold: what it holds out is its test split, and nothing that is near it is trained on."""
    out = [sample.collection in names for sample in collection.samples]
    near = {sample.group for sample, own in zip(collection.samples, out, strict=True) if own and sample.group}
    keep = [place for place, own in enumerate(out) if own or collection.samples[place].group not in near]
    shares = {VALIDATION: recipe.validation_share} if recipe.validation_share else {}
    splits = []
    for place in keep:
        sample = collection.samples[place]
        watched = is_held_out(sample, recipe.hold_out) or split_of(sample.group, recipe.seed, shares) == VALIDATION
        splits.append(TEST if out[place] else VALIDATION if watched else TRAIN)
    return select(collection, keep, splits)


def without_shared_groups(collection: Collection, folds: Sequence[Sequence[str]]) -> Collection:
    """Leave out of later folds what hangs together with an image of an earlier one."""
    of_collection = {name: number for number, names in enumerate(folds) for name in names}
    first: dict[str, int] = {}
    keep = [
        place
        for place, sample in enumerate(collection.samples)
        if (number := of_collection.get(sample.collection)) is None or first.setdefault(sample.group, number) == number
    ]
    return select(collection, keep, [collection.splits[place] for place in keep])


def select(collection: Collection, keep: Sequence[int], splits: list[str]) -> Collection:
    """Take some samples of a collection, by their places, into other splits."""
    samples = [collection.samples[place] for place in keep]
    return replace(collection, samples=samples, splits=splits, survey=collection.survey.take(keep))


def check_folds(collection: Collection, settings: CrossvalidateSettings) -> None:
    """Refuse folds that cannot be judged.

    Raises:
        SettingsError: a collection is not there, a fold lacks a class, or it holds out what decides when to stop.
    """
    there = {sample.collection for sample in collection.samples}
    for names in settings.folds:
        unknown = sorted(set(names) - there)
        if unknown:
            raise SettingsError(f"--folds name {unknown}; the collections here are {sorted(there)}")
        own = [sample for sample in collection.samples if sample.collection in names]
        if not has_both_classes(own):
            raise SettingsError(f"a fold needs both classes, and {list(names)} has only one; put collections together")
        stopping = sorted({sample.source for sample in own if is_held_out(sample, settings.hold_out)})
        if stopping:
            raise SettingsError(
                f"--hold-out {stopping} decide when to stop and cannot be judged in a fold; leave one out"
            )


def train_folds(jobs: Sequence[FoldJob], side_by_side: int, device: str, log: Log) -> Iterator[FoldResult]:
    """Run the trainings, so many at a time, and give what they found in their order."""
    run = ray.remote(workers.train_fold).options(num_cpus=1, num_gpus=1 if device == "cuda" else 0)
    begun: list[ray.ObjectRef[FoldResult]] = []
    ticker = Ticker.shown()
    with ticker.during("training", len(jobs), "folds"):
        for number, job in enumerate(jobs):
            while len(begun) < min(len(jobs), number + side_by_side):
                laid = jobs[len(begun)].run
                begun.append(run.remote(laid.task, laid.cached, laid.plan, laid.test_views, device))
            found = ray.get(begun[number])
            ticker.advance()
            log(f"{job.method}, fold {job.number}: {found.seconds:.0f} s")
            yield found


def logit_rows(job: FoldJob, found: FoldResult) -> list[pa.Table]:
    """Write the logits of a fold as rows of `HELD`."""
    samples = job.collection.of(TEST)
    return [
        held_out_rows(samples, np.array(logits, np.float32), method=job.method, fold=job.number, delivery=delivery)
        for delivery, logits in found.logits.items()
    ]


def method_cost(base: Description, jobs: Sequence[FoldJob], found: Sequence[FoldResult], method: str) -> Cost:
    """Tell what a method costs: what learns, the blocks that run, the views of an image, seconds a fold."""
    own = [(job, one) for job, one in zip(jobs, found, strict=True) if job.method == method]
    task = own[0][0].run.task
    return Cost(
        parameters=own[0][1].parameters,
        blocks=tower_blocks(base, task.detector.reads),
        passes=task.spec.crops,
        training_seconds=float(np.mean([one.seconds for _, one in own])),
    )


def tower_blocks(base: Description, reads: Sequence[int]) -> int:
    """Count the blocks of the tower that run."""
    backbone = base.config.backbone
    return reads[-1] if reads else (backbone.architecture or architecture_of(backbone.name)).layers


def write_results(settings: CrossvalidateSettings, table: pa.Table, ladder: MethodComparison) -> MethodComparison:
    """Write logits and figures into the output."""
    settings.output.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, settings.output / LOGITS)
    (settings.output / FIGURES).write_text(ladder.model_dump_json(indent=2) + "\n")
    (settings.output / CARDS).write_text(
        "\n".join(f"# {method}\n\n{card(ladder, method)}" for method in ladder.methods)
    )
    return ladder
