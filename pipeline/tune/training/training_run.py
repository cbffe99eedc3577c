"""Training run: a recipe and its samples, turned into the task, the sampling plan and the cached views."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mole.config import Description, DetectorConfig
from mole.errors import SettingsError
from mole.inference.precision import preferred_precision
from pipeline.storage import storage
from pipeline.tune.data.clusters import contents
from pipeline.tune.data.collection import TEST, VALIDATION, Collection
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.cached_views import CachedDetector, cache_views, requested_views, token_folder
from pipeline.tune.training.plan import includes, sampling_plan
from pipeline.tune.training.recipe import DETECTOR_SETTINGS, NO_TOKENS, RUNTIME_SETTINGS, Recipe
from pipeline.tune.training.sampling import DatasetSpec, PictureAligner, SamplingPlan, balanced_weights
from pipeline.tune.training.stages import EXPERTS, ROUTER, SHARED
from pipeline.tune.training.task import CachedViews, Schedule, Stage, Task
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.trunk import needs_tokens

RecipeT = TypeVar("RecipeT", bound=Recipe)
MAX_EPOCH_IMAGES = 20_000
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class TrainingRun:
    """A training, ready to be started.

    Attributes:
        task: what is sent to every worker.
        plan: which samples each step uses.
        training: training samples and preprocessing.
        validation: validation samples and preprocessing.
        cached: the views in the token cache; None if views are made again in every epoch.
        test_views: keys of the test split's views by perturbation, ordered by sample, then view.
    """

    task: Task
    plan: SamplingPlan
    training: DatasetSpec
    validation: DatasetSpec
    cached: CachedViews | None
    test_views: Mapping[str, tuple[str, ...]]


def with_precision(recipe: RecipeT, device: str) -> RecipeT:
    """Replace the precision `auto` of a recipe by that of a device, `cpu` or `cuda`, as this machine measures it."""
    return (
        recipe.model_copy(update={"precision": preferred_precision(device)}) if recipe.precision == "auto" else recipe
    )


def schedule_of(recipe: Recipe, images: int, *, warm_up: bool) -> Schedule:
    """Derive the schedule of a training.

    Args:
        recipe: its settings.
        images: number of images in the training split.
        warm_up: whether each stage starts with warm-up steps, to whose features the head is fitted.
    """
    steps = math.ceil((recipe.epoch_images or min(images, MAX_EPOCH_IMAGES)) / recipe.batch_size)
    warmup_steps = math.ceil(recipe.head_images / recipe.batch_size) if warm_up else 0
    stages = tuple(Stage(**stage.model_dump()) for stage in recipe.stages)
    return Schedule(
        warmup_steps=min(warmup_steps, steps),
        steps=steps,
        stages=stages or (Stage("all", recipe.epochs),),
        penalty=recipe.penalty,
        head_rate=recipe.head_lr,
        expert_rate=recipe.expert_lr,
        decay=recipe.weight_decay,
        patience=recipe.patience,
        consistency=recipe.consistency,
        whitening=recipe.whitening,
        patches=recipe.patches,
    )


def detector_of(recipe: Recipe, base: Description) -> DetectorConfig:
    """Return the base's detector configuration, overridden by the settings of the recipe."""
    own = base.config.detector.model_dump()
    return DetectorConfig.model_validate(own | recipe.model_dump(include=DETECTOR_SETTINGS, exclude_none=True))


def task_of(
    recipe: Recipe, base: tuple[str, Description], collection: Collection, folder: str, *, keep_adapters: bool = False
) -> Task:
    """Build the task of a training; its run folder is named after the settings, the samples and the base.

    Args:
        recipe: its settings.
        base: where every machine finds the checkpoint that training starts from, and its description.
        collection: split into training and validation.
        folder: URL of the folder that holds runs.
        keep_adapters: start from the base's adapters too.

    Raises:
        SettingsError: a stage trains an expert that the detector does not have, or --centres asks for more centres than
            there are training views.
    """
    detector = detector_of(recipe, base[1])
    run = storage.join(folder, run_name(recipe, base[1].digest, collection))
    validation = collection.of(VALIDATION)
    fits_head = (detector.head == "kernel" or detector.head_depth == 1) and not keep_adapters
    is_cached = token_folder(recipe, run) is not None
    images = len(collection.of(TRAIN))
    schedule = schedule_of(recipe, images, warm_up=fits_head and not is_cached)
    spec = base[1].preprocess.seen_as(recipe.view) if recipe.view else base[1].preprocess
    if detector.head == "kernel" and not keep_adapters:
        seen = sum(includes(schedule.stages[-1], sample) for sample in collection.of(TRAIN))
        warmup_views = schedule.warmup_steps * recipe.batch_size
        views = seen * recipe.augmentations * len(spec.singles) if is_cached else warmup_views
        detector = detector.model_copy(update={"centres": allowed_centres(detector.centres, recipe.centres, views)})
    if is_cached and not detector.adapts:  # fitting the head gives its optimum, and nothing else can be trained
        schedule = replace(schedule, stages=(Stage("head", 0, kinds=schedule.stages[-1].kinds),))
    check_experts(schedule, detector)
    stopping = {sample.source for sample in validation if is_held_out(sample, recipe.hold_out)}
    return Task(
        base=base[0],
        digest=base[1].digest,
        keep_adapters=keep_adapters,
        detector=detector,
        spec=spec,
        bfloat16=recipe.precision == "bfloat16",
        schedule=schedule,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        run=run,
        labels=tuple(sample.label for sample in validation),
        sources=tuple(sample.source for sample in validation),
        stopping_generators=tuple(sorted(stopping)),
    )


def run_name(recipe: Recipe, base_digest: str, collection: Collection) -> str:
    """Name a run after the settings that its result depends on, its samples and its base; 16 hex digits."""
    settings = recipe.model_dump(mode="json", exclude=RUNTIME_SETTINGS)
    identity = json.dumps(
        [settings, recipe.token_cache != NO_TOKENS, collection.fingerprint(), base_digest], sort_keys=True
    )
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def allowed_centres(centres: int, asked: int | None, views: int) -> int:
    """Return the number of centres of a kernel head: the base's as far as there are views, or what the recipe asks for.

    Args:
        centres: of the detector.
        asked: by the recipe; None if it leaves them to the base.
        views: training views that the head is fitted to.

    Raises:
        SettingsError: the recipe asks for more than there are views.
    """
    if asked is None:
        return max(1, min(centres, views))
    if asked > views:
        raise SettingsError(
            f"--centres must be at most {views:,}, the training views that the head is fitted to, got {asked:,}; give "
            "fewer centres, or more images or --augmentations"
        )
    return asked


def check_experts(schedule: Schedule, detector: DetectorConfig) -> None:
    """Check that the detector has every expert that a stage trains.

    Raises:
        SettingsError: it lacks one.
    """
    present = EXPERTS[: len(detector.expert_ranks)] + ((SHARED,) if detector.shared_rank else ())
    present += (ROUTER,) if detector.expert_ranks else ()
    for stage in schedule.stages:
        missing = sorted(set(stage.learns) - set(present))
        if missing:
            raise SettingsError(
                f"stage {stage.name!r} trains {missing}; this detector has {', '.join(present) or 'none'}"
            )


def is_held_out(sample: Sample, names: Sequence[str]) -> bool:
    """Return whether a sample's source or collection is one of the given names."""
    return sample.source in names or sample.collection in names


def prepare(
    recipe: Recipe,
    task: Task,
    base: Description,
    data: tuple[Collection, PictureAligner | None],
    *,
    perturbations: Sequence[str] = (),
) -> TrainingRun:
    """Make the sampling plan of a training and fill the token cache, if it uses one; Ray must be connected.

    Args:
        recipe: its settings.
        task: of the training.
        base: checkpoint whose tower is used.
        data: the samples, of which the test split will be scored; and the aligner, if any.
        perturbations: names of the perturbations under which views of the test split are cached.

    Raises:
        SettingsError: a stage has samples of one class only, or the disk has no room for the tokens.
        ModelError: the tower cannot be used.
    """
    collection, aligner = data
    train = collection.of(TRAIN)
    training, validation = (
        DatasetSpec(to_table(samples), task.spec, aligner) for samples in (train, collection.of(VALIDATION))
    )
    folder, views = token_folder(recipe, task.run), len(task.spec.singles)
    known = [sample.content for sample in train]
    if folder is None:
        plan = sampling_plan(task, train, contents=known, variants=None, views=views)
        return TrainingRun(task, plan, training, validation, None, {})
    indices = {split: [index for index, own in enumerate(collection.splits) if own == split] for split in SPLITS}
    detector = CachedDetector(recipe, task, base)
    keys = cache_views([detector], data, requested_views(indices, task.spec, recipe.augmentations, perturbations))
    cache = TokenCache(detector.folder)
    if recipe.cluster_contents:
        first_views = keys[TRAIN][:: recipe.augmentations * views]
        known = contents(cache.features(first_views).numpy(), known, seed=task.seed)
    plan = sampling_plan(task, train, contents=known, variants=recipe.augmentations, views=views)
    cached = CachedViews(
        folder=str(cache.folder),
        training=keys[TRAIN],
        variants=recipe.augmentations,
        views=views,
        labels=tuple(sample.label for sample in train),
        weights=tuple(head_weights(stage, train, known) for stage in task.schedule.stages),
        validation=keys[VALIDATION],
        has_tokens=needs_tokens(task),
    )
    return TrainingRun(task, plan, training, validation, cached, {name: keys[name] for name in perturbations})


def head_weights(stage: Stage, samples: Sequence[Sample], known: Sequence[str]) -> tuple[float, ...]:
    """Compute the weights of samples when a stage's head is fitted: balanced, and 0 for samples it does not include.

    Raises:
        SettingsError: one of the classes is empty.
    """
    included = [includes(stage, sample) for sample in samples]
    kinds = [(sample.label, sample.source) for sample, own in zip(samples, included, strict=True) if own]
    weights = iter(balanced_weights(kinds, [content for content, own in zip(known, included, strict=True) if own]))
    return tuple(float(next(weights)) if own else 0.0 for own in included)
