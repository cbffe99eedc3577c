"""Finetune: the flow from samples through audit, training, calibration and evaluation to a version in the registry."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mole.config import CONFIG, Description
from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.calibration_fit import min_reals
from pipeline import registry
from pipeline.registry import Registry
from pipeline.runtime import cluster
from pipeline.runtime.scratch import scratch_folder
from pipeline.storage import storage
from pipeline.storage.folder import walk
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.collection import CALIBRATION, TEST, VALIDATION, Collection, Log, collect
from pipeline.tune.data.manifest import MANIFEST, with_parent_images
from pipeline.tune.data.split import TRAIN
from pipeline.tune.evaluation.evaluate import evaluate
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.thresholds import threshold_text
from pipeline.tune.training import metrics_log
from pipeline.tune.training.auditing import choose_aligner, has_both_classes, has_validation
from pipeline.tune.training.base_checkpoint import starting_checkpoint
from pipeline.tune.training.cached_views import TOKENS_FOLDER
from pipeline.tune.training.settings import FinetuneSettings
from pipeline.tune.training.task import Task
from pipeline.tune.training.trainer import TrainingResult, train
from pipeline.tune.training.training_run import prepare, task_of, with_precision
from pipeline.tune.training.version import (
    EVALUATION,
    HISTORY,
    calibrate,
    crossvalidated_metrics,
    provenance_of,
    rates_of,
    version_files,
    write_checkpoint,
)

RESULT_FILE = "finished.json"
QUICK: dict[str, Any] = {
    "max_per_source": 40,
    "epochs": 2,
    "augmentations": 2,
    "epoch_images": 160,
    "head_images": 160,
    "patience": 2,
    "false_positive_rate": 0.05,
}
"""Values that `--quick` gives to settings that are not set explicitly."""
EVALUATED_PERTURBATIONS = ("shipped", "aligned")


@dataclass(frozen=True)
class FinetuneResult:
    """The result of a training.

    Attributes:
        digest: of the version.
        version: its folder's URL.
        run: the folder URL of checkpoints, metrics and TensorBoard's events.
        epochs: number of trained epochs.
        left_out: samples that were not used, by reason.
        evaluation: on the test split, to which nothing was fitted; None if it lacks a class.
    """

    digest: str
    version: str
    run: str
    epochs: int
    left_out: Mapping[str, int]
    evaluation: Evaluation | None


def finetune(settings: FinetuneSettings, log: Log) -> FinetuneResult:
    """Train a detector and add it to the registry.

    Raises:
        SettingsError: samples or settings are refused before training: a leak, or too few images for the
            false-positive rate.
        StorageError: a store failed.
        ModelError: the base cannot be used, or the loss is not finite.
    """
    settings = with_quick_settings(settings).varied(settings.method)
    if settings.quick:
        log("quick: " + ", ".join(f"{name} {getattr(settings, name)}" for name in QUICK))
    if settings.calibrate_from is not None:
        crossvalidated_metrics(
            settings.calibrate_from, settings.method
        )  # refused now rather than after hours of training
    place = Registry(settings.registry)
    start, base = starting_checkpoint(settings, place)
    ProgressDisplay.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.unwrapped_errors(),
    ):
        layout = cluster.plan_layout(settings.device, actors=None, batch_size=None, rows_per_file=None)
        settings = with_precision(settings, layout.device)
        shares = {VALIDATION: settings.validation_share, CALIBRATION: settings.calibration_share}
        shares[TEST] = settings.test_share
        collection = collect(settings, log, shares=shares, hold_out=settings.hold_out)
        check_splits(collection, settings)
        check_batch_size(settings)
        runs, keep = storage.join(place.url, "runs"), settings.init_from is not None
        task = task_of(settings, (start, base), collection, runs, keep_adapters=keep)
        finished = find_finished(place, task.run, collection)
        if finished is not None:
            log(f"this training was already completed, with version {finished.digest}")
            return finished
        aligner = choose_aligner(settings, collection, log)
        with metrics_log.logging_epochs(task.run, log):
            run = prepare(settings, task, base, (collection, aligner))
            trained = train(run, processes=settings.workers, gpu=layout.device == "cuda")
        return finish(settings, place, (base, task, collection), trained, log)


def finish(
    settings: FinetuneSettings,
    place: Registry,
    started: tuple[Description, Task, Collection],
    trained: TrainingResult,
    log: Log,
) -> FinetuneResult:
    """Calibrate the trained detector, evaluate it on the test split, and add it to the registry.

    Args:
        settings: of the training.
        place: the registry.
        started: the base, the task and the samples.
        trained: the result of the training.
        log: receives progress messages, one line each.

    Raises:
        StorageError: a store failed.
    """
    base, task, collection = started
    drafts = Registry(task.run)  # where every machine of the cluster can read them
    tested = collection.of(TEST)
    with scratch_folder("mole-training-") as folder:
        draft = write_checkpoint(folder / "draft", base, task, trained.adapters, Calibration(), {})
        url = drafts.version(drafts.add(draft.folder, {}))
        calibration = calibrate(settings, collection, url)
        log(threshold_text(calibration))
        origin = provenance_of(settings, collection, base, trained)
        final = write_checkpoint(folder / "final", base, task, trained.adapters, calibration, origin)
        manifest = collection.manifest()
        if task.keep_adapters:
            manifest = with_parent_images(manifest, base)
        url = drafts.version(drafts.add(final.folder, {MANIFEST: manifest}))  # the manifest lists its training images
        measured = evaluate(tested, url, EVALUATED_PERTURBATIONS, log) if has_both_classes(tested) else None
        ProgressDisplay.shown().enter("writing the version")
        files = (
            version_files(collection, trained, origin, measured)
            | {MANIFEST: manifest}
            | rates_of(settings, final.digest)
        )
        digest = place.add(final.folder, files)
    for draft_file in walk(storage.join(drafts.url, registry.VERSIONS)):
        storage.remove(draft_file.url)
    storage.write(storage.join(task.run, RESULT_FILE), json.dumps({"digest": digest}).encode())
    if settings.token_cache is None and storage.is_local(task.run):
        shutil.rmtree(Path(task.run) / TOKENS_FOLDER, ignore_errors=True)  # a later training uses its own run folder
    return FinetuneResult(digest, place.version(digest), task.run, trained.epochs, dict(collection.left_out), measured)


def find_finished(place: Registry, run: str, collection: Collection) -> FinetuneResult | None:
    """Find the result of the same training, if it was completed before."""
    file = storage.join(run, RESULT_FILE)
    if not storage.exists(file):
        return None
    digest = json.loads(storage.read(file))["digest"]
    if not storage.exists(storage.join(place.version(digest), CONFIG)):
        return None
    tested = has_both_classes(collection.of(TEST))
    measured = Evaluation.model_validate_json(place.read(digest, EVALUATION)) if tested else None
    entries = [json.loads(line) for line in place.read(digest, HISTORY).splitlines()]
    epochs = TrainingResult({}, entries, {}).epochs
    return FinetuneResult(digest, place.version(digest), run, epochs, dict(collection.left_out), measured)


def with_quick_settings(settings: FinetuneSettings) -> FinetuneSettings:
    """Shorten a smoke test: with `--quick`, settings that are not set explicitly take the values of `QUICK`."""
    if not settings.quick:
        return settings
    return settings.model_copy(update={name: QUICK[name] for name in QUICK.keys() - settings.model_fields_set})


def check_splits(collection: Collection, settings: FinetuneSettings) -> None:
    """Refuse, before any training, splits that could not be calibrated or evaluated after it.

    Raises:
        SettingsError: a split lacks a class, or has too few real images for the false-positive rate.
    """
    needed_splits = {TRAIN: True, VALIDATION: has_validation(settings), CALIBRATION: settings.calibrate_from is None}
    for split in (name for name, is_needed in needed_splits.items() if is_needed):
        if not has_both_classes(collection.of(split)):
            raise SettingsError(
                f"the {split} split needs both classes: {collection}; provide more groups, or larger shares"
            )
    if settings.calibrate_from is not None:
        return
    reals = sum(sample.label == 0 for sample in collection.of(CALIBRATION))
    rate = settings.false_positive_rate
    needed = math.ceil(1 / rate)
    if reals < needed:
        raise SettingsError(
            f"--false-positive-rate {rate:g} needs at least {needed:,} real images in the calibration split, got "
            f"{reals:,} (and {min_reals(rate):,} to show it at 95 % without an error); provide more, a "
            f"larger --calibration-share, or a rate of {1 / max(1, reals):.2g} or more"
        )


def check_batch_size(settings: FinetuneSettings) -> None:
    """Refuse a batch size that cannot be divided among the workers.

    Raises:
        SettingsError: it cannot.
    """
    share = settings.workers * (2 if settings.consistency else 1)
    if settings.batch_size % share:
        raise SettingsError(
            f"--batch-size {settings.batch_size} must be a multiple of {share}, for --workers {settings.workers}"
        )
