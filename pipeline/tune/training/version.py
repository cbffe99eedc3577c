"""Version: the checkpoint that a training produces, its calibration, and the files that document its origin.

Legend: N images.
"""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from mole.checkpoint import sha256_of
from mole.config import ADAPTERS, CONFIG, CheckpointConfig, Description, describe
from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.calibration_fit import fit_temperature, threshold_for
from pipeline.tune.data.collection import CALIBRATION, Collection
from pipeline.tune.data.manifest import MANIFEST, ORIGIN, UNLISTED_SOURCES, training_images
from pipeline.tune.evaluation.comparison import MethodComparison, rates
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.held_out_metrics import HeldOutMetrics
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.evaluation.sample_scoring import score
from pipeline.tune.evaluation.thresholds import calibration_at, join_names
from pipeline.tune.training import curves
from pipeline.tune.training.recipe import RUNTIME_SETTINGS
from pipeline.tune.training.settings import FinetuneSettings
from pipeline.tune.training.task import Task
from pipeline.tune.training.trainer import TrainingResult

HISTORY = "history.jsonl"
EVALUATION, CURVES, RATES = "evaluation.json", "curves.png", "rates.json"


def write_checkpoint(
    folder: Path,
    base: Description,
    task: Task,
    adapters: Mapping[str, Tensor],
    calibration: Calibration,
    provenance: dict[str, Any],
) -> Description:
    """Write a self-contained checkpoint; the tower is copied from the base.

    Args:
        folder: to be created.
        base: checkpoint whose tower is used.
        task: provides detector configuration and preprocessing.
        adapters: the trained weights, by name and in the shapes of `mole.model.detector.stored`.
        calibration: temperature, bias and thresholds.
        provenance: how it was made.
    """
    folder.mkdir(parents=True)
    backbone = base.config.backbone
    if backbone.file is not None:
        shutil.copy(base.folder / backbone.file, folder / backbone.file)
    config = CheckpointConfig(
        backbone=backbone,
        detector=task.detector,
        preprocess=task.spec,
        preprocess_fingerprint=task.spec.fingerprint,
        calibration=calibration,
        provenance=provenance,
        licence=base.config.licence,
    )
    (folder / ADAPTERS).write_bytes(save({name: tensor.contiguous() for name, tensor in adapters.items()}))
    (folder / CONFIG).write_text(config.model_dump_json(indent=2) + "\n")
    return describe(folder)


def calibrate(settings: FinetuneSettings, collection: Collection, draft: str) -> Calibration:
    """Set temperature and bias from both classes, and the thresholds from the real images alone.

    Args:
        settings: the target rates, or the file of a cross-validation, whose calibration is then used as it is.
        collection: provides the calibration split; its groups are not in the training split.
        draft: URL of the uncalibrated checkpoint.

    Raises:
        SettingsError: there are too few real images for a target rate, or the file has no such method.
    """
    if settings.calibrate_from is not None:
        return crossvalidated_metrics(settings.calibrate_from, settings.method).calibration
    samples = collection.of(CALIBRATION)
    scored = score(samples, draft, (ORIGINAL,))
    read_N = scored["logit"].is_valid().to_numpy()
    logit_N = scored["logit"].drop_null().to_numpy()
    label_N = np.array([sample.label for sample in samples])[read_N]
    real_N = logit_N[label_N == 0]
    above, _ = threshold_for(real_N, settings.false_positive_rate)
    below, _ = threshold_for(real_N, max(settings.unsure_rate, settings.false_positive_rate))
    reals = join_names(sample.source for sample in samples if sample.label == 0)
    return calibration_at(real_N, (below, above), fit_temperature(logit_N, label_N), collection=reals)


def crossvalidated_metrics(file: Path, method: str | None) -> HeldOutMetrics:
    """Read the metrics of a method from the file of a cross-validation.

    Raises:
        SettingsError: the file cannot be read, or has no such method.
    """
    try:
        comparison = MethodComparison.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as reason:
        detail = str(reason).splitlines()[0]
        raise SettingsError(
            f"--calibrate-from {str(file)!r} cannot be read: {detail}; run crossvalidate again"
        ) from reason
    name = method or next(iter(comparison.methods))
    if name not in comparison.methods or (method is None and len(comparison.methods) > 1):
        raise SettingsError(f"--method must be one of {sorted(comparison.methods)} of {str(file)!r}, got {method!r}")
    return comparison.methods[name]


def provenance_of(
    settings: FinetuneSettings, collection: Collection, base: Description, trained: TrainingResult
) -> dict[str, Any]:
    """Describe how a version was made; this is part of the checkpoint and hence of its digest."""
    known = training_images(base)
    before = {UNLISTED_SOURCES: sorted(known.sources)} if settings.init_from is not None and not known.listed else {}
    by = settings.calibrate_from
    return (
        before
        | ({} if by is None else {"calibrated_by": sha256_of(by)})
        | {
            "recipe": settings.model_dump(mode="json", exclude=RUNTIME_SETTINGS),
            "samples": collection.fingerprint(),
            "images": str(collection),
            "parent": base.digest,
            "parent_adapters": settings.init_from is not None,
            "epochs": trained.epochs,
            "validation_auroc": trained.history[-1]["best"] if trained.history else None,
            "share_of_new_adapters": trained.shares,
        }
    )


def rates_of(settings: FinetuneSettings, digest: str) -> dict[str, bytes]:
    """Write `rates.json`: the error rates of the folds that a version's thresholds come from."""
    if settings.calibrate_from is None:
        return {}
    metrics = crossvalidated_metrics(settings.calibrate_from, settings.method)
    return {RATES: json.dumps(rates(metrics, digest, f"{datetime.now(UTC):%F}"), indent=2).encode() + b"\n"}


def version_files(
    collection: Collection, trained: TrainingResult, origin: Mapping[str, Any], measured: Evaluation | None
) -> dict[str, bytes]:
    """Collect the files stored with a version: its samples with their splits, its metrics, its training curves."""
    lines = "".join(json.dumps(epoch) + "\n" for epoch in trained.history)
    files = {
        MANIFEST: collection.manifest(),
        HISTORY: lines.encode(),
        ORIGIN: json.dumps({"made": datetime.now(UTC).isoformat(timespec="seconds"), **origin}, indent=2).encode(),
        CURVES: curves.draw(trained.history),
    }
    return files | ({EVALUATION: measured.model_dump_json(indent=2).encode()} if measured else {})
