"""Fold: one training of a cross-validation in a single process, and the logits of the images that it held out.

Legend: V views.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mole.model.detector import learned
from pipeline.storage import storage
from pipeline.tune.training.loaders import CachedLoader, WorkerRank, cached_logits
from pipeline.tune.training.loop import WorkerContext, build_learner, train_loop
from pipeline.tune.training.sampling import SamplingPlan
from pipeline.tune.training.task import CachedViews, Task
from pipeline.tune.training.token_cache import TokenCache

RESULT_FILE = "fold.json"


@dataclass(frozen=True)
class FoldResult:
    """The result of one fold.

    Attributes:
        logits: by perturbation, of each held-out sample, in order.
        parameters: number of trained parameters.
        seconds: duration of the training, without filling the token cache; after a restart, of its last part.
    """

    logits: Mapping[str, tuple[float, ...]]
    parameters: int
    seconds: float


def train_fold(
    task: Task,
    cached: CachedViews,
    plan: SamplingPlan,
    test_views: Mapping[str, tuple[str, ...]],
    *,
    device: str = "cpu",
) -> FoldResult:
    """Train a fold, or continue a run that was killed, and score the held-out images.

    Args:
        task: of the training.
        cached: its views in the token cache.
        plan: its sampling plan.
        test_views: keys of the held-out views by perturbation, as many per sample as the detector scores it by.
        device: `cpu`, on one core, or `cuda`.

    Raises:
        ModelError: the base cannot be used, or the loss is not finite.
        StorageError: a view is missing from the cache.
    """
    file = storage.join(task.run, RESULT_FILE)
    before = json.loads(storage.read(file)) if storage.exists(file) else None
    if before is not None and set(before["logits"]) >= set(test_views):
        known = {name: tuple(before["logits"][name]) for name in test_views}
        return FoldResult(known, before["parameters"], before["seconds"])
    torch.set_num_threads(1)  # parallel folds have a core each, and the thread count must not change the sums
    start = time.monotonic()
    learner = build_learner(task, torch.device(device))
    train_loop(task, learner, CachedLoader(cached, plan, WorkerRank()), WorkerContext())
    learner.load_state(learner.merged_state())
    seconds = time.monotonic() - start if before is None else before["seconds"]
    cache, crops = TokenCache(Path(cached.folder)), task.spec.crops
    logits = {}
    for name, keys in test_views.items():
        logit_V = cached_logits(cache, keys, learner, cached.has_tokens)
        logits[name] = tuple(np.float64(logit_V).reshape(-1, crops).mean(axis=1).tolist())
    parameters = sum(parameter.numel() for parameter in learned(learner.detector).values())
    result = {"logits": logits, "parameters": parameters, "seconds": seconds}
    storage.write(file, json.dumps(result).encode())
    return FoldResult(logits, parameters, seconds)
