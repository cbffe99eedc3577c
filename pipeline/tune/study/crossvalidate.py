"""The flow of a study: samples, tokens, folds for each method, figures, a last training, calibration, checkpoint.

Legend: N images, M pictures of pairs.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mole.backbone import load_tower, tower_digest
from mole.calibration import Calibration
from mole.checkpoint import save_checkpoint, sha256_of
from mole.config import Backbone, CheckpointConfig, Description
from mole.detector import MoLE
from mole.training import Rates
from pipeline import storage
from pipeline.telemetry import Ticker
from pipeline.tune.study.dataset import Cached
from pipeline.tune.study.figures import Held, PairFigure, SourceFigure, alarms, by_photographs, by_source, calibrate
from pipeline.tune.study.loop import Plan, fit, score, score_features
from pipeline.tune.study.recipe import PLACES, Method, Recipe
from pipeline.tune.study.tokens import Say, Tokens, chosen, fresh, tokens

TOWER = "tower.safetensors"


@dataclass(frozen=True)
class Judged:
    """What one method does on sources that it never saw."""

    sources: list[SourceFigure]
    photographs: list[PairFigure]
    held: Held

    @property
    def table(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "held_out_sources": [asdict(figure) for figure in self.sources],
            "reconstructions": [asdict(figure) for figure in self.photographs],
        }


@dataclass(frozen=True)
class Study:
    """What a study found, and the checkpoint that it wrote, if any.

    Attributes:
        methods: by method, and by view where a study has several.
        checkpoint: of the last method and the first view.
    """

    methods: dict[str, Judged]
    checkpoint: Description | None


def crossvalidate(recipe: Recipe, say: Say) -> Study:
    """Compare methods on sources that none of them saw, and train the last of them on everything if that is wanted.

    Args:
        recipe: everything that decides the result.
        say: told of each step.

    Raises:
        SettingsError: the manifest or a source named in the recipe is refused.
        ModelError: the tower cannot be loaded, or training left the finite numbers.
    """
    if recipe.tower.suffix:  # a file's name; one without may be a tag of open_clip's
        storage.demand(str(recipe.tower), "--tower")
    if recipe.autoencoder is not None:
        storage.demand(str(recipe.autoencoder), "--autoencoder")
    samples = chosen(recipe)
    seen = tokens(recipe, samples, say)
    judged = {name: found for method in recipe.methods for name, found in _judge(recipe, method, seen, say)}
    if recipe.output is None:
        return Study(judged, None)
    method = recipe.methods[-1]
    [detector] = _fit_all(recipe, method, seen.training, [recipe.calibration], say)
    shipped, crops = seen.judged[0].shipped, recipe.specs[0].crops
    final = score(detector, shipped.token_NTD[shipped.of(recipe.calibration)], crops) if recipe.calibration else None
    first = judged[_named(recipe, method, recipe.views[0])]
    held = first.held
    calibration = calibrate(held, np.empty(0, np.float32) if final is None else final, recipe.false_positive_rate)
    measured = first.table if recipe.folds else {}
    if recipe.folds:
        rates = alarms(held, calibration.generated_above)
        measured["share_called_generated"] = {name: asdict(rate) for name, rate in rates.items()}
    return Study(judged, _save(recipe, recipe.output, detector, calibration, measured))


def _judge(recipe: Recipe, method: Method, seen: Tokens, say: Say) -> Iterator[tuple[str, Judged]]:
    """Train a method once a fold, and score what that fold held out, in each view."""
    folds = list(zip(_fit_all(recipe, method, seen.training, recipe.folds, say), recipe.folds, strict=True))
    for view, spec, judged in zip(recipe.views, recipe.specs, seen.judged, strict=True):
        samples = judged.shipped.samples[:: spec.crops]
        fold_N = np.full(len(samples), -1)
        for fold, sources in enumerate(recipe.folds):
            fold_N[judged.shipped.of(sources)[:: spec.crops].numpy()] = fold
        measure = partial(_held_out, folds, crops=spec.crops, plain=method == "linear")
        shipped_N, aligned_N = measure(judged.shipped), measure(judged.aligned)
        held = Held(samples, fold_N, shipped_N, aligned_N)
        photographs = []
        if judged.matched:
            logit_M = measure(judged.matched)
            photographs = by_photographs(judged.matched.samples[:: spec.crops], logit_M)
        yield _named(recipe, method, view), Judged(by_source(held), photographs, held)


def _named(recipe: Recipe, method: Method, view: str) -> str:
    """Name what was judged: a method, and its view where there are several."""
    return method if len(recipe.views) == 1 else f"{method} {view}"


def _held_out(
    folds: list[tuple[MoLE, tuple[str, ...]]], cached: Cached, *, crops: int, plain: bool
) -> NDArray[np.float32]:
    """Score each fold's sources by the detector that never saw them; logit_N float32, NaN where none held it out."""
    logit_N = np.full(len(cached.samples) // crops, np.nan, np.float32)
    for detector, sources in folds:
        mine_V = cached.of(sources)
        if mine_V.any():
            scored = (
                score_features(detector, cached.feature_NF[mine_V], crops)
                if plain
                else score(detector, cached.token_NTD[mine_V], crops)
            )
            logit_N[mine_V[::crops].numpy()] = scored
    return logit_N


def _fit_all(
    recipe: Recipe, method: Method, training: Cached, left_out: Iterable[Collection[str]], say: Say
) -> list[MoLE]:
    """Train one fresh detector for each group of sources to be left out, some side by side, each on its own cores."""
    groups = list(left_out)
    detectors = [fresh(recipe, method) for _ in groups]
    cores = max(1, (os.cpu_count() or 1) // recipe.workers)  # set in each thread: OpenMP counts for a thread apart
    steps = len(groups) * (0 if method == "linear" else recipe.steps)
    with (
        Ticker.shown().during(f"training {method}", steps, "steps"),
        ThreadPoolExecutor(recipe.workers, initializer=torch.set_num_threads, initargs=(cores,)) as pool,
    ):
        for line in pool.map(lambda pair: _fit(recipe, method, training, *pair), zip(detectors, groups, strict=True)):
            say(line)
    return detectors


def _fit(recipe: Recipe, method: Method, training: Cached, detector: MoLE, without: Collection[str]) -> str:
    """Train one detector on every source but some; a line that says how it went."""
    rates = Rates(head=recipe.head_rate, experts=recipe.expert_rate, decay=recipe.decay)
    steps = 0 if method == "linear" else recipe.steps
    plan = Plan(steps, recipe.alone, recipe.pairs, recipe.patches, recipe.penalty, rates, recipe.seed)
    ticker, losses = Ticker.shown(), []
    for report in fit(detector, training, ~training.of(without), plan):
        losses.append(report.loss)
        ticker.advance()
    tenth = max(1, len(losses) // 10)
    moved = f"loss {np.mean(losses[:tenth]):.3f} to {np.mean(losses[-tenth:]):.3f}" if losses else "head alone"
    return f"{method} without {', '.join(without) or 'nothing'}: {len(losses)} steps, {moved}"


def _save(
    recipe: Recipe, output: Path, detector: MoLE, calibration: Calibration, measured: dict[str, Any]
) -> Description:
    """Write the checkpoint beside its tower."""
    output.mkdir(parents=True, exist_ok=True)
    tower, spec = output / TOWER, recipe.specs[0]
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
    return save_checkpoint(output, detector, config)
