"""Preparing: settings and samples become what the loop is told: the task, the plan, and where the tokens are kept."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mole.config import Description, DetectorConfig
from mole.errors import SettingsError
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

MAX_EPOCH_IMAGES = 20_000
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class TrainingRun:
    """A training as it is laid down.

    Attributes:
        task: what every process is told.
        draws: what each step sees.
        training: what the training views are made of.
        validation: what the validation views are made of.
        kept: where the tokens are; None where views are made anew.
        judged: keys of the test split's views, by delivery, view by view, sample by sample.
    """

    task: Task
    plan: SamplingPlan
    training: DatasetSpec
    validation: DatasetSpec
    cached: CachedViews | None
    test_views: Mapping[str, tuple[str, ...]]


def schedule_of(recipe: Recipe, images: int, *, looks: bool) -> Schedule:
    """Say how long a training is.

    Args:
        recipe: its settings.
        images: of the training split.
        looks: whether steps at the start of a stage only look, and the head is fitted to what they saw.
    """
    steps = math.ceil((recipe.epoch_images or min(images, MAX_EPOCH_IMAGES)) / recipe.batch_size)
    looking = math.ceil(recipe.head_images / recipe.batch_size) if looks else 0
    stages = tuple(Stage(**stage.model_dump()) for stage in recipe.stages)
    return Schedule(
        warmup_steps=min(looking, steps),
        steps=steps,
        stages=stages or (Stage("all", recipe.epochs),),
        penalty=recipe.penalty,
        head_rate=recipe.head_rate,
        expert_rate=recipe.expert_rate,
        decay=recipe.decay,
        patience=recipe.patience,
        consistency=recipe.consistency,
        patches=recipe.patches,
    )


def detector_of(recipe: Recipe, base: Description) -> DetectorConfig:
    """Take the base's detector, and what the settings say of it."""
    own = base.config.detector.model_dump()
    return DetectorConfig.model_validate(own | recipe.model_dump(include=DETECTOR_SETTINGS, exclude_none=True))


def task_of(
    recipe: Recipe, base: tuple[str, Description], collection: Collection, folder: str, *, keep_adapters: bool = False
) -> Task:
    """Write down what every process needs, in a run that the same settings, samples and base find again.

    Args:
        recipe: its settings.
        base: how every machine finds the checkpoint that is begun with, and what it is.
        collection: split into training and validation.
        folder: the URL below which runs lie.
        keep_adapters: begin with the base's adapters too.
    """
    detector = detector_of(recipe, base[1])
    decides = recipe.model_dump(mode="json", exclude=RUNTIME_SETTINGS)
    identity = json.dumps(
        [decides, recipe.tokens != NO_TOKENS, collection.fingerprint(), base[1].digest], sort_keys=True
    )
    run = storage.join(folder, hashlib.sha256(identity.encode()).hexdigest()[:16])
    validation = collection.of(VALIDATION)
    fits = (detector.head == "kernel" or detector.head_depth == 1) and not keep_adapters
    keeps = token_folder(recipe, run) is not None
    images = len(collection.of(TRAIN))
    course = schedule_of(recipe, images, looks=fits and not keeps)
    spec = base[1].preprocess.seen_as(recipe.view) if recipe.view else base[1].preprocess
    if detector.head == "kernel" and recipe.centres is None and not keep_adapters:  # as far as there are so many views
        views = images * recipe.deliveries * len(spec.singles) if keeps else course.warmup_steps * recipe.batch_size
        detector = detector.model_copy(update={"centres": max(1, min(detector.centres, views))})
    if keeps and not detector.adapts:  # the head is fitted to its optimum, and nothing else can learn
        course = replace(course, stages=(Stage("head", 0, kinds=course.stages[-1].kinds),))
    check_experts(course, detector)
    return Task(
        base=base[0],
        digest=base[1].digest,
        keep_adapters=keep_adapters,
        detector=detector,
        spec=spec,
        bfloat16=recipe.precision == "bfloat16",
        schedule=course,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        run=run,
        labels=tuple(sample.label for sample in validation),
        sources=tuple(sample.source for sample in validation),
        stopping_generators=tuple(
            sorted({sample.source for sample in validation if is_held_out(sample, recipe.hold_out)})
        ),
    )


def check_experts(course: Schedule, detector: DetectorConfig) -> None:
    """Refuse a stage that teaches an expert which the detector has not.

    Raises:
        SettingsError: there is one.
    """
    there = EXPERTS[: len(detector.expert_ranks)] + ((SHARED,) if detector.shared_rank else ())
    there += (ROUTER,) if detector.expert_ranks else ()
    for stage in course.stages:
        missing = sorted(set(stage.learns) - set(there))
        if missing:
            raise SettingsError(
                f"stage {stage.name!r} teaches {missing}; this detector has {', '.join(there) or 'none'}"
            )


def is_held_out(sample: Sample, names: Sequence[str]) -> bool:
    """Tell whether a sample is of a source or of a collection that is named."""
    return sample.source in names or sample.collection in names


def prepare(
    recipe: Recipe,
    task: Task,
    base: Description,
    data: tuple[Collection, PictureAligner | None],
    *,
    judged: Sequence[str] = (),
) -> TrainingRun:
    """Lay a training down, and make the tokens that it needs, on a Ray that is connected already.

    Args:
        recipe: its settings.
        task: what every process is told.
        base: whose tower it is.
        data: the samples, of which those of the test split are judged; and what gives both classes one form, if any.
        judged: deliveries in which views of the test split are kept too.

    Raises:
        SettingsError: a stage sees one class alone, or the disk has no room for the tokens.
        ModelError: the tower cannot be used.
    """
    collection, aligner = data
    training, validation = (
        DatasetSpec(to_table(collection.of(split)), task.spec, aligner) for split in (TRAIN, VALIDATION)
    )
    folder, views = token_folder(recipe, task.run), len(task.spec.singles)
    shown = [sample.content for sample in collection.of(TRAIN)]
    if folder is None:
        draws = sampling_plan(task, collection.of(TRAIN), contents=shown, rounds=None, views=views)
        return TrainingRun(task, draws, training, validation, None, {})
    places = {split: [place for place, own in enumerate(collection.splits) if own == split] for split in SPLITS}
    detector = CachedDetector(recipe, task, base)
    names = cache_views([detector], data, requested_views(places, task.spec, recipe.deliveries, judged))
    found = TokenCache(detector.folder)
    if recipe.cluster_contents:
        firsts = names[TRAIN][:: recipe.deliveries * views]
        shown = contents(found.features(firsts).numpy(), shown, seed=task.seed)
    draws = sampling_plan(task, collection.of(TRAIN), contents=shown, rounds=recipe.deliveries, views=views)
    kept = CachedViews(
        folder=str(found.folder),
        training=names[TRAIN],
        variants=recipe.deliveries,
        views=views,
        labels=tuple(sample.label for sample in collection.of(TRAIN)),
        weights=tuple(head_weights(stage, collection.of(TRAIN), shown) for stage in task.schedule.stages),
        validation=names[VALIDATION],
        has_tokens=needs_tokens(task),
    )
    return TrainingRun(task, draws, training, validation, kept, {name: names[name] for name in judged})


def head_weights(stage: Stage, samples: Sequence[Sample], shown: Sequence[str]) -> tuple[float, ...]:
    """Weigh samples where a stage's head is fitted: both classes alike, and what the stage does not see not at all.

    Raises:
        SettingsError: one of the classes is empty.
    """
    seen = [includes(stage, sample) for sample in samples]
    kinds = [(sample.label, sample.source) for sample, own in zip(samples, seen, strict=True) if own]
    weight = iter(balanced_weights(kinds, [content for content, own in zip(shown, seen, strict=True) if own]))
    return tuple(float(next(weight)) if own else 0.0 for own in seen)
