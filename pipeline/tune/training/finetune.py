"""The flow of a training: samples, audit, training, calibration, measurement, a version in the registry."""

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mole.calibration import Calibration
from mole.config import CONFIG, Description, DetectorConfig
from mole.errors import SettingsError
from mole.fitting import reals_for
from pipeline import cluster, registry, storage
from pipeline.folder import walk
from pipeline.registry import Registry
from pipeline.telemetry import Ticker
from pipeline.tune.data.align import Aligner, aligner
from pipeline.tune.data.audit import audit, verdict_of
from pipeline.tune.data.collection import CALIBRATION, TEST, VALIDATION, Collection, collect
from pipeline.tune.data.manifest import MANIFEST, inherited
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import TRAIN
from pipeline.tune.judging.evaluate import evaluate
from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.thresholds import told
from pipeline.tune.training import journal
from pipeline.tune.training.bases import begin_from, named
from pipeline.tune.training.draws import Made, lay_down
from pipeline.tune.training.settings import ELSEWHERE, FinetuneSettings
from pipeline.tune.training.task import Course, Task
from pipeline.tune.training.trainer import Trained, train
from pipeline.tune.training.version import EVALUATION, HISTORY, calibrate, origin_of, papers, write

Say = Callable[[str], None]
MOST_EPOCH = 20_000
FINISHED = "finished.json"
QUICK: dict[str, Any] = {
    "most": 40,
    "epochs": 2,
    "epoch_images": 160,
    "head_images": 160,
    "patience": 2,
    "false_positive_rate": 0.05,
}
"""What `--quick` sets, where nothing else was said."""
MEASURED = ("shipped", "aligned")


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Attributes:
        digest: of the version.
        version: its folder's URL.
        run: the folder URL of checkpoints, metrics and TensorBoard's events.
        epochs: that were trained.
        left_out: samples that were not used, by reason.
        evaluation: on the test split, which nothing was fitted to; None where it has not both classes.
    """

    digest: str
    version: str
    run: str
    epochs: int
    left_out: Mapping[str, int]
    evaluation: Evaluation | None


def finetune(given: FinetuneSettings, say: Say) -> Outcome:
    """Train a detector and put it into the registry.

    Raises:
        SettingsError: samples or settings are refused: a leak, or too few images for the wanted rate, before training.
        StorageError: a store failed.
        ModelError: the base cannot be used, or training left the finite numbers.
    """
    settings = hurried(given)
    if settings.quick:
        say("quick: " + ", ".join(f"{name} {getattr(settings, name)}" for name in QUICK))
    place = Registry(settings.registry)
    base = begin_from(settings, place)
    Ticker.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.own_errors(),
    ):
        shares = {VALIDATION: settings.validation_share, CALIBRATION: settings.calibration_share}
        shares[TEST] = settings.test_share
        collection = collect(settings, say, shares=shares, hold_out=settings.hold_out)
        demand_enough(collection, settings)
        task = task_of(settings, place, base, collection)
        finished = finished_before(place, task.run, collection)
        if finished is not None:
            say(f"this training has ended before, with version {finished.digest}")
            return finished
        chosen = aligner_of(settings, collection, say)
        layout = cluster.lay_out(settings.device, actors=None, batch_size=None, rows_per_file=None)
        with journal.following(task.run, say):
            trained = learn(settings, task, (collection, chosen), gpu=layout.device == "cuda")
        return concluded(settings, place, (base, task, collection), trained, say)


def concluded(
    settings: FinetuneSettings,
    place: Registry,
    begun: tuple[Description, Task, Collection],
    trained: Trained,
    say: Say,
) -> Outcome:
    """Calibrate what was trained, measure it on the test split, and put it into the registry.

    Args:
        settings: of the training.
        place: the registry.
        begun: what it began from, the task, and the samples.
        trained: what came of it.
        say: told the calibration.

    Raises:
        StorageError: a store failed.
    """
    base, task, collection = begun
    drafts = Registry(task.run)  # where every machine of the cluster finds them
    tested = collection.of(TEST)
    with tempfile.TemporaryDirectory() as folder:
        draft = write(Path(folder) / "draft", base, task, trained.adapters, Calibration(), {})
        shelved = drafts.version(drafts.add(draft.folder, {}))
        calibration = calibrate(settings, collection.of(CALIBRATION), shelved)
        say(told(calibration))
        origin = origin_of(settings, collection, base, trained)
        final = write(Path(folder) / "final", base, task, trained.adapters, calibration, origin)
        manifest = collection.manifest()
        if task.keep_adapters:
            manifest = inherited(manifest, base)
        shelved = drafts.version(drafts.add(final.folder, {MANIFEST: manifest}))  # which tells what it saw
        measured = evaluate(tested, shelved, MEASURED, say) if both_classes(tested) else None
        Ticker.shown().enter("writing the version")
        files = papers(collection, trained, origin, measured) | {MANIFEST: manifest}
        digest = place.add(final.folder, files)
    for left in walk(storage.join(drafts.url, registry.VERSIONS)):
        storage.remove(left.url)
    storage.write(storage.join(task.run, FINISHED), json.dumps({"digest": digest}).encode())
    return Outcome(digest, place.version(digest), task.run, len(trained.history), dict(collection.left_out), measured)


def finished_before(place: Registry, run: str, collection: Collection) -> Outcome | None:
    """Find what the same training gave, if it came to its end."""
    file = storage.join(run, FINISHED)
    if not storage.exists(file):
        return None
    digest = json.loads(storage.read(file))["digest"]
    if not storage.exists(storage.join(place.version(digest), CONFIG)):
        return None
    tested = both_classes(collection.of(TEST))
    measured = Evaluation.model_validate_json(place.read(digest, EVALUATION)) if tested else None
    epochs = len(place.read(digest, HISTORY).splitlines())
    return Outcome(digest, place.version(digest), run, epochs, dict(collection.left_out), measured)


def hurried(settings: FinetuneSettings) -> FinetuneSettings:
    """Shorten a training that is only to try the road, where its settings do not say otherwise themselves."""
    if not settings.quick:
        return settings
    return settings.model_copy(update={name: QUICK[name] for name in QUICK.keys() - settings.model_fields_set})


def demand_enough(collection: Collection, settings: FinetuneSettings) -> None:
    """Refuse, before any training, what could not be calibrated or judged after it.

    Raises:
        SettingsError: a split lacks a class, or has too few real images for the wanted false-positive rate.
    """
    for split in (TRAIN, VALIDATION, CALIBRATION):
        if not both_classes(collection.of(split)):
            raise SettingsError(
                f"the {split} split needs both classes: {collection}; give more groups, or larger shares"
            )
    reals = sum(sample.label == 0 for sample in collection.of(CALIBRATION))
    rate = settings.false_positive_rate
    needed = math.ceil(1 / rate)
    if reals < needed:
        raise SettingsError(
            f"--false-positive-rate {rate:g} takes at least {needed:,} real images in the calibration split, got "
            f"{reals:,} (and {reals_for(rate):,} without an error to show it at 95 %); give more, a larger "
            f"--calibration-share, or a rate of {1 / max(1, reals):.2g} or more"
        )


def aligner_of(settings: FinetuneSettings, collection: Collection, say: Say) -> Aligner | None:
    """Audit what is to be trained on, and choose whether both classes get one form.

    Raises:
        SettingsError: the files alone give the classes away, and the settings neither align them nor accept it.
    """
    rows = collection.rows_of(TRAIN)
    Ticker.shown().enter("comparing the classes")
    verdict = verdict_of(audit(collection.of(TRAIN), rows, seed=settings.seed), settings.most_leak)
    say(f"audit of the training split: {verdict.told}")
    if verdict.leaks and not (settings.align or settings.accept_leak):
        raise SettingsError(f"{verdict.told}; train with --align, or know better and say --accept-leak")
    if not settings.align:
        return None
    fake = pc.equal(pa.array([sample.label for sample in collection.of(TRAIN)]), 1)
    return aligner(rows.filter(pc.invert(fake)), rows.filter(fake))


def both_classes(samples: list[Sample]) -> bool:
    """Tell whether there are real and generated images among them."""
    return len({sample.label for sample in samples}) == 2


def task_of(settings: FinetuneSettings, place: Registry, base: Description, collection: Collection) -> Task:
    """Write down what every worker needs, in a run that the same settings, samples and base find again.

    Raises:
        SettingsError: the batch cannot be shared among the workers.
    """
    if settings.batch_size % settings.workers:
        raise SettingsError(f"--batch-size {settings.batch_size} must be a multiple of --workers {settings.workers}")
    own = base.config.detector
    given = {"adapted_blocks", "shared_rank", "expert_ranks", "aux_coef"}
    detector = DetectorConfig.model_validate(own.model_dump() | settings.model_dump(include=given, exclude_none=True))
    spec = base.preprocess.seen_as(settings.view) if settings.view else base.preprocess
    decides = settings.model_dump(mode="json", exclude=ELSEWHERE)
    identity = json.dumps([decides, collection.fingerprint(), base.digest], sort_keys=True)
    validation = collection.of(VALIDATION)
    return Task(
        base=named(settings, place),
        digest=base.digest,
        keep_adapters=settings.init_from is not None,
        detector=detector,
        spec=spec,
        bfloat16=settings.precision == "bfloat16",
        course=course_of(settings, len(collection.of(TRAIN)), fits_head=detector.head_depth == 1),
        batch_size=settings.batch_size,
        seed=settings.seed,
        run=storage.join(place.url, "runs", hashlib.sha256(identity.encode()).hexdigest()[:16]),
        labels=tuple(sample.label for sample in validation),
        sources=tuple(sample.source for sample in validation),
        judges=settings.hold_out,
    )


def course_of(settings: FinetuneSettings, images: int, *, fits_head: bool) -> Course:
    """Say how long the training is."""
    steps = math.ceil((settings.epoch_images or min(images, MOST_EPOCH)) / settings.batch_size)
    looking = math.ceil(settings.head_images / settings.batch_size) if fits_head and settings.init_from is None else 0
    return Course(
        looking=min(looking, steps),
        steps=steps,
        epochs=settings.epochs,
        penalty=settings.penalty,
        head_rate=settings.head_rate,
        expert_rate=settings.expert_rate,
        decay=settings.decay,
        patience=settings.patience,
    )


def learn(settings: FinetuneSettings, task: Task, data: tuple[Collection, Aligner | None], *, gpu: bool) -> Trained:
    """Lay down the draws and train."""
    collection, chosen = data
    training = collection.of(TRAIN)
    kinds = [(sample.label, sample.source) for sample in training]
    draws = lay_down(
        kinds, epochs=task.course.epochs, steps=task.course.steps, batch_size=task.batch_size, seed=settings.seed
    )
    sets = tuple(Made(to_table(samples), task.spec, chosen) for samples in (training, collection.of(VALIDATION)))
    return train(task, draws, (sets[0], sets[1]), processes=settings.workers, gpu=gpu)
