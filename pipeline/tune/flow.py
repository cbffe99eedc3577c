"""The flow of a training: samples, views, trunk, folds, figures, final fit, calibration, checkpoint."""

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.backbone import load_tower, tower_digest
from mole.calibration import Calibration, fit_temperature, threshold_for
from mole.checkpoint import Backbone, CheckpointConfig, Description, save_checkpoint, sha256_of
from mole.detector import Detector, DetectorConfig
from mole.errors import SettingsError
from mole.metrics import share_above
from mole.preprocess import Preprocess
from mole.training import Rates
from pipeline.tune.dataset import Views, augmented, shipped, trunk_tokens
from pipeline.tune.figures import Held, alarms, by_source
from pipeline.tune.loop import Plan, fit, score
from pipeline.tune.recipe import Recipe
from pipeline.tune.reconstruct import Autoencoder
from pipeline.tune.samples import Sample, of_sources, read_manifest

Say = Callable[[str], None]
TOWER = "tower.safetensors"
UNSURE_SHARE = 0.10  # of held-out reals may lie above `real_below`


@dataclass(frozen=True)
class Cached:
    """Views of some samples and their trunk tokens."""

    views: Views
    token_NTD: Tensor


def tune(recipe: Recipe, say: Say) -> Description:
    """Train a detector by a recipe, measure it on sources it never saw, and write its checkpoint.

    Args:
        recipe: everything that decides the result.
        say: told of each step.

    Raises:
        SettingsError: the manifest or a source named in the recipe is refused.
        ModelError: the tower cannot be loaded, or training left the finite numbers.
    """
    samples = read_manifest(recipe.manifest, grids=recipe.grids, split=recipe.split, one_cell=True)
    _check(recipe, samples)
    spec = Preprocess(mode=recipe.view)
    trunk = _detector(recipe)
    training, as_shipped, aligned = _cache(recipe, samples, trunk, spec, say)
    held = _hold_out(recipe, samples, training, (as_shipped, aligned), say)
    detector = _fitted(recipe, training, recipe.calibration, say)
    calibration = calibrate(recipe, samples, held, score(detector, as_shipped.token_NTD))
    return _save(recipe, detector, spec, calibration, _measured(held, calibration))


def calibrate(recipe: Recipe, samples: Sequence[Sample], held: Held, final_N: NDArray[np.float32]) -> Calibration:
    """Set temperature, bias and thresholds on images that training did not see.

    The threshold is the higher of two: of the folds' held-out reals, scored by detectors that never saw their source,
    and of the reals that were kept out of the final training.

    Args:
        recipe: the wanted rate, and the real sources kept out.
        samples: all of them.
        held: the folds' logits.
        final_N: the final detector's logits of all samples as shipped; only those kept out are looked at.
    """
    kept_N = np.array([sample.source in recipe.calibration for sample in samples])
    pools = [pool for pool in (held.shipped_N[held.reals()], final_N[kept_N]) if len(pool)]
    if not pools:
        return Calibration()
    above = max(threshold_for(pool, recipe.false_positive_rate)[0] for pool in pools)
    below = min(above, max(threshold_for(pool, UNSURE_SHARE)[0] for pool in pools))
    alarm = share_above(np.concatenate(pools), above)
    seen_N = held.fold_N >= 0
    temperature, bias = (1.0, 0.0)
    if seen_N.any():
        labels_N = np.array([sample.label for sample in samples])
        temperature, bias = fit_temperature(held.shipped_N[seen_N], labels_N[seen_N])
    return Calibration(
        temperature=temperature,
        bias=bias,
        real_below=below,
        generated_above=above,
        false_positive_rate=alarm.share,
        false_positive_interval=(alarm.low, alarm.high),
        reals=alarm.images,
    )


def _check(recipe: Recipe, samples: Sequence[Sample]) -> None:
    """Refuse sources that are not there.

    Raises:
        SettingsError: a fold or the calibration names one.
    """
    there = {sample.source for sample in samples}
    unknown = {source for group in (*recipe.folds, recipe.calibration) for source in group} - there
    if unknown:
        raise SettingsError(f"sources {sorted(unknown)} are not among {sorted(there)}")


def _detector(recipe: Recipe) -> Detector:
    """Build a fresh detector on a bfloat16 tower; what learns stays float32 and starts the same each time."""
    torch.manual_seed(recipe.seed)
    tower = load_tower(recipe.backbone, recipe.tower).bfloat16()
    config = DetectorConfig(
        adapted_blocks=recipe.adapted_blocks,
        shared_rank=recipe.shared_rank,
        expert_ranks=recipe.expert_ranks,
        aux_coef=recipe.aux_coef,
    )
    return Detector(tower, config)


def _cache(
    recipe: Recipe, samples: list[Sample], trunk: Detector, spec: Preprocess, say: Say
) -> tuple[Cached, Cached, Cached]:
    """Compute training views, views as shipped and aligned views, and run the trunk over them."""
    autoencoder = Autoencoder(recipe.autoencoder) if recipe.autoencoder else None
    kinds = []
    for name, views in (
        ("training", augmented(samples, spec, draws=recipe.draws, seed=recipe.seed, autoencoder=autoencoder)),
        ("as shipped", shipped(samples, spec, aligned=False)),
        ("aligned", shipped(samples, spec, aligned=True)),
    ):
        say(f"{len(views.source)} views {name}, through the trunk")
        kinds.append(Cached(views, trunk_tokens(trunk, views, spec)))
    return kinds[0], kinds[1], kinds[2]


def _fitted(recipe: Recipe, training: Cached, without: Collection[str], say: Say) -> Detector:
    """Train a fresh detector on every source but some."""
    detector = _detector(recipe)
    plan = Plan(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        reconstructed=recipe.reconstructed,
        rates=Rates(head=recipe.head_rate, experts=recipe.expert_rate, decay=recipe.decay),
        seed=recipe.seed,
    )
    keep_N = torch.tensor([source not in without for source in training.views.source])
    losses = [report.loss for report in fit(detector, training.views, training.token_NTD, keep_N, plan)]
    last = losses[-max(1, len(losses) // 10) :]
    say(f"without {', '.join(without) or 'nothing'}: {len(losses)} steps, loss {losses[0]:.3f} to {np.mean(last):.3f}")
    return detector


def _hold_out(recipe: Recipe, samples: list[Sample], training: Cached, views: tuple[Cached, Cached], say: Say) -> Held:
    """Train once a fold without its sources, and score those."""
    logits = np.full((2, len(samples)), np.nan, np.float32)
    fold_N = np.full(len(samples), -1)
    for fold, group in enumerate(recipe.folds):
        detector = _fitted(recipe, training, group, say)
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
        "share_above_generated": {source: asdict(rate) for source, rate in rates.items()},
    }


def _save(
    recipe: Recipe, detector: Detector, spec: Preprocess, calibration: Calibration, measured: dict[str, Any]
) -> Description:
    """Write the checkpoint beside its tower."""
    recipe.output.mkdir(parents=True, exist_ok=True)
    tower = recipe.output / TOWER
    if not tower.exists():
        shutil.copy(recipe.tower, tower)
    digest = tower_digest(load_tower(recipe.backbone, tower).state_dict())
    settings = recipe.model_dump(mode="json", exclude={"manifest", "output", "tower", "autoencoder", "config"})
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
