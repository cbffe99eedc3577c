"""The version: what a training leaves: a checkpoint, how its logits are read, and the papers that say where from.

Legend: N images.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from mole.calibration import Calibration
from mole.config import ADAPTERS, CONFIG, CheckpointConfig, Description, describe
from mole.fitting import fit_temperature, threshold_for
from mole.metrics import share_above
from pipeline.tune.data.collection import Collection
from pipeline.tune.data.manifest import MANIFEST
from pipeline.tune.data.samples import Sample
from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.perturbation import SHIPPED
from pipeline.tune.judging.scoring import score
from pipeline.tune.training import curves
from pipeline.tune.training.settings import ELSEWHERE, FinetuneSettings
from pipeline.tune.training.task import Task
from pipeline.tune.training.trainer import Trained

HISTORY, ORIGIN = "history.jsonl", "origin.json"
EVALUATION, CURVES = "evaluation.json", "curves.png"


def write(
    folder: Path,
    base: Description,
    task: Task,
    adapters: Mapping[str, Tensor],
    calibration: Calibration,
    provenance: dict[str, Any],
) -> Description:
    """Write a checkpoint that can be used by itself; the tower is the base's.

    Args:
        folder: new.
        base: whose tower it stands on.
        task: the shape and the view.
        adapters: what was learned.
        calibration: how its logits are read.
        provenance: where it comes from.
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


def calibrate(settings: FinetuneSettings, samples: Sequence[Sample], draft: str) -> Calibration:
    """Set temperature and bias from both classes, and the thresholds from the real images alone.

    Args:
        settings: the wanted rates.
        samples: of the calibration split; training has not seen their groups.
        draft: the URL of the checkpoint before it is calibrated.

    Raises:
        SettingsError: there are too few real images for a wanted rate.
    """
    scored = score(samples, draft, (SHIPPED,))
    read_N = scored["logit"].is_valid().to_numpy()
    logit_N = scored["logit"].drop_null().to_numpy()
    label_N = np.array([sample.label for sample in samples])[read_N]
    real_N = logit_N[label_N == 0]
    above, interval = threshold_for(real_N, settings.false_positive_rate)
    below, _ = threshold_for(real_N, max(settings.unsure_rate, settings.false_positive_rate))
    temperature, bias = fit_temperature(logit_N, label_N)
    return Calibration(
        temperature=temperature,
        bias=bias,
        real_below=min(below, above),
        generated_above=above,
        false_positive_rate=share_above(real_N, above).share,
        false_positive_interval=interval,
        reals=len(real_N),
    )


def told(calibration: Calibration) -> str:
    """Say how logits are read from now on."""
    low, high = calibration.false_positive_interval or (0.0, 1.0)
    return (
        f"calibrated on {calibration.reals:,} real images: generated from logit {calibration.generated_above:.3f} on, "
        f"real below {calibration.real_below:.3f}; false positives {calibration.false_positive_rate:.2%} "
        f"(95 %: {low:.2%} to {high:.2%})"
    )


def origin_of(
    settings: FinetuneSettings, collection: Collection, base: Description, trained: Trained
) -> dict[str, Any]:
    """Write where a version comes from; it is part of the checkpoint and so of its digest."""
    return {
        "recipe": settings.model_dump(mode="json", exclude=ELSEWHERE),
        "samples": collection.fingerprint(),
        "images": str(collection),
        "parent": base.digest,
        "parent_adapters": settings.init_from is not None,
        "epochs": len(trained.history),
        "validation_auroc": trained.history[-1]["best"] if trained.history else None,
        "share_of_new_adapters": trained.shares,
    }


def papers(
    collection: Collection, trained: Trained, origin: Mapping[str, Any], measured: Evaluation | None
) -> dict[str, bytes]:
    """Gather the files that lie beside a version: its samples with their splits, its figures, its curves."""
    lines = "".join(json.dumps(epoch) + "\n" for epoch in trained.history)
    files = {
        MANIFEST: collection.manifest(),
        HISTORY: lines.encode(),
        ORIGIN: json.dumps({"made": datetime.now(UTC).isoformat(timespec="seconds"), **origin}, indent=2).encode(),
        CURVES: curves.draw(trained.history),
    }
    return files | ({EVALUATION: measured.model_dump_json(indent=2).encode()} if measured else {})
