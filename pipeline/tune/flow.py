"""The flow of a training: samples, views, trunk, folds, figures, final fit, calibration, checkpoint."""

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from mole.backbone import load_tower, tower_digest
from mole.calibration import Calibration
from mole.checkpoint import save_checkpoint, sha256_of
from mole.config import Backbone, CheckpointConfig, Description, DetectorConfig
from mole.detector import Detector
from mole.errors import SettingsError
from mole.metrics import auroc
from mole.preprocess import Preprocess
from mole.training import Rates
from pipeline.tune import dataset
from pipeline.tune.dataset import Cached
from pipeline.tune.figures import Held, alarms, by_source, calibrate
from pipeline.tune.loop import Plan, fit, score
from pipeline.tune.recipe import Recipe
from pipeline.tune.reconstruct import Autoencoder
from pipeline.tune.samples import Sample, capped, of_sources, read_manifest
from pipeline.tune.store import key_of, remembered

Say = Callable[[str], None]
TOWER = "tower.safetensors"
PLACES = {"manifest", "output", "tower", "autoencoder", "cache", "config", "workers"}  # of this machine, not the recipe


def tune(recipe: Recipe, say: Say) -> Description:
    """Train a detector by a recipe, measure it on sources it never saw, and write its checkpoint.

    Args:
        recipe: everything that decides the result.
        say: told of each step.

    Raises:
        SettingsError: the manifest or a source named in the recipe is refused.
        ModelError: the tower cannot be loaded, or training left the finite numbers.
    """
    listed = read_manifest(recipe.manifest, grids=recipe.grids, split=recipe.split)
    samples = capped(listed, recipe.most, seed=recipe.seed)
    _check(recipe, samples)
    spec = Preprocess(mode=recipe.view)
    shipped, aligned, training = _views(recipe, samples, spec, say)
    *folds, detector = _fit_all(recipe, training, [*recipe.folds, recipe.calibration], say)
    held = _hold_out(recipe, samples, folds, (shipped, aligned))
    kept = np.array([sample.source in recipe.calibration for sample in samples])
    final = score(detector, shipped.token_NTD[torch.from_numpy(kept)]) if kept.any() else np.empty(0, np.float32)
    calibration = calibrate(held, final, recipe.false_positive_rate)
    measured = _measured(held, calibration) | _reconstructions(recipe, samples, spec, detector)
    return _save(recipe, detector, spec, calibration, measured)


def _fit_all(recipe: Recipe, training: Cached, left_out: Sequence[Collection[str]], say: Say) -> list[Detector]:
    """Train one fresh detector for each group of sources to be left out, some side by side, each on its own cores."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // recipe.workers))
    detectors = [fresh(recipe) for _ in left_out]
    with ThreadPoolExecutor(recipe.workers) as pool:
        for line in pool.map(lambda pair: _fit(recipe, training, *pair), zip(detectors, left_out, strict=True)):
            say(line)
    return detectors


def _fit(recipe: Recipe, training: Cached, detector: Detector, without: Collection[str]) -> str:
    """Train one detector on every source but some; a line that says how it went."""
    rates = Rates(head=recipe.head_rate, experts=recipe.expert_rate, decay=recipe.decay)
    plan = Plan(recipe.steps, recipe.batch_size, recipe.penalty, rates, recipe.seed)
    losses = [report.loss for report in fit(detector, training, training.without(list(without)), plan)]
    tenth = max(1, len(losses) // 10)
    moved = f"loss {np.mean(losses[:tenth]):.3f} to {np.mean(losses[-tenth:]):.3f}" if losses else "head alone"
    return f"without {', '.join(without) or 'nothing'}: {len(losses)} steps, {moved}"


def fresh(recipe: Recipe) -> Detector:
    """Build a fresh detector on a bfloat16 tower; what learns stays float32 and starts the same each time."""
    torch.manual_seed(recipe.seed)
    config = DetectorConfig(
        adapted_blocks=recipe.adapted_blocks,
        shared_rank=recipe.shared_rank,
        expert_ranks=recipe.expert_ranks,
        aux_coef=recipe.aux_coef,
    )
    return Detector(load_tower(recipe.backbone, recipe.tower).bfloat16(), config)


def _check(recipe: Recipe, samples: Sequence[Sample]) -> None:
    """Refuse sources that are not there.

    Raises:
        SettingsError: a fold or the calibration names one.
    """
    there = {sample.source for sample in samples}
    unknown = {source for group in (*recipe.folds, recipe.calibration) for source in group} - there
    if unknown:
        raise SettingsError(f"sources {sorted(unknown)} are not among {sorted(there)}")


def _views(recipe: Recipe, samples: list[Sample], spec: Preprocess, say: Say) -> tuple[Cached, Cached, Cached]:
    """Run the trunk over all views: as shipped, aligned, and what is trained on (aligned and augmented)."""
    trunk = fresh(recipe)
    key = key_of(samples, sha256_of(recipe.tower), spec, trunk.split)

    def run(kind: str, make: Callable[[], dataset.Views]) -> Cached:
        say(f"{len(samples)} views, {kind}")
        return remembered(recipe.cache, f"{kind}-{key}", samples, make, (trunk, spec))

    shipped = run("shipped", lambda: dataset.shipped(samples, spec))
    aligned = training = run("aligned", lambda: dataset.aligned(samples, spec))
    for draw in range(recipe.draws):
        seed = recipe.seed * recipe.draws + draw
        training += run(f"augmented-{seed}", lambda seed=seed: dataset.augmented(samples, spec, seed))  # type: ignore[misc]
    return shipped, aligned, training


def _hold_out(recipe: Recipe, samples: list[Sample], folds: Sequence[Detector], views: tuple[Cached, Cached]) -> Held:
    """Score the sources of each fold by the detector that never saw them, as shipped and aligned."""
    logits = np.full((2, len(samples)), np.nan, np.float32)
    fold_N = np.full(len(samples), -1)
    for fold, (detector, group) in enumerate(zip(folds, recipe.folds, strict=True)):
        mine = of_sources(samples, group)
        fold_N[mine.numpy()] = fold
        for kind, cached in enumerate(views):
            logits[kind, mine.numpy()] = score(detector, cached.token_NTD[mine])
    return Held(samples, fold_N, logits[0], logits[1])


def _measured(held: Held, calibration: Calibration) -> dict[str, Any]:
    """Gather the figures that go into the checkpoint's settings."""
    if not (held.fold_N >= 0).any():
        return {}
    rates = alarms(held, calibration.generated_above)
    return {
        "held_out_sources": [asdict(figure) for figure in by_source(held)],
        "share_called_generated": {name: asdict(rate) for name, rate in rates.items()},
    }


def _reconstructions(recipe: Recipe, samples: list[Sample], spec: Preprocess, detector: Detector) -> dict[str, Any]:
    """Compare the reals kept out of the final training with themselves after an autoencoder, both aligned."""
    kept = [sample for sample in samples if sample.source in recipe.calibration and sample.label == 0]
    if recipe.autoencoder is None or not kept:
        return {}
    pairs = dataset.aligned(kept, spec), dataset.reconstructed(kept, spec, Autoencoder(recipe.autoencoder))
    before_N, after_N = (score(detector, dataset.cache(detector, views, spec).token_NTD) for views in pairs)
    return {"reconstructions": {"images": len(kept), "auroc_aligned": auroc(before_N, after_N)}}


def _save(
    recipe: Recipe, detector: Detector, spec: Preprocess, calibration: Calibration, measured: dict[str, Any]
) -> Description:
    """Write the checkpoint beside its tower."""
    recipe.output.mkdir(parents=True, exist_ok=True)
    tower = recipe.output / TOWER
    if not tower.exists():
        shutil.copy(recipe.tower, tower)
    digest = tower_digest(load_tower(recipe.backbone, tower).state_dict())
    settings = recipe.model_dump(mode="json", exclude=PLACES)
    config = CheckpointConfig(
        backbone=Backbone(name=recipe.backbone, file=TOWER, file_sha256=sha256_of(tower), sha256=digest),
        detector=detector.config,
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        calibration=calibration,
        provenance={"recipe": settings, "measured": measured},
        licence=f"adapters and head: Apache-2.0; tower: {recipe.tower_licence}",
    )
    return save_checkpoint(recipe.output, detector, config)
