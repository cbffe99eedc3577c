"""The fold: one training in one process, by the same loop as any, and the logits of what it held out.

Legend: N samples.
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
from pipeline.tune.training.loaders import CachedLoader, cached_logits
from pipeline.tune.training.loop import WorkerContext, build_learner, train_loop
from pipeline.tune.training.sampling import SamplingPlan
from pipeline.tune.training.task import CachedViews, Task
from pipeline.tune.training.token_cache import TokenCache

DONE = "fold.json"


@dataclass(frozen=True)
class FoldResult:
    """What one fold gave.

    Attributes:
        logits: by delivery, of each sample that was held out, in their order.
        parameters: that learned.
        seconds: of the training, the trunk's pass not counted; of its last part where it was gone on with.
    """

    logits: Mapping[str, tuple[float, ...]]
    parameters: int
    seconds: float


def train_fold(
    task: Task, kept: CachedViews, draws: SamplingPlan, judged: Mapping[str, tuple[str, ...]], *, device: str = "cpu"
) -> FoldResult:
    """Train, or go on where an earlier run was killed, and score what was held out.

    Args:
        task: what is trained.
        kept: where its tokens are.
        draws: the plan of steps.
        judged: keys of held-out views by delivery, as many a sample as the detector judges by.
        device: `cpu`, on one core, or `cuda`.

    Raises:
        ModelError: the base cannot be used, or the loss is not a number.
        StorageError: a token is not there.
    """
    place = storage.join(task.run, DONE)
    before = json.loads(storage.read(place)) if storage.exists(place) else None
    if before is not None and set(before["logits"]) >= set(judged):
        known = {name: tuple(before["logits"][name]) for name in judged}
        return FoldResult(known, before["parameters"], before["seconds"])
    torch.set_num_threads(1)  # folds side by side have a core each, and as many threads give the same sums
    began = time.monotonic()
    learner = build_learner(task, torch.device(device))
    train_loop(task, learner, CachedLoader(kept, draws, (0, 1)), WorkerContext())
    learner.load_state(learner.merged_state())
    seconds = time.monotonic() - began if before is None else before["seconds"]
    found, crops = TokenCache(Path(kept.folder)), task.spec.crops
    logits = {}
    for name, keys in judged.items():
        logit_V = cached_logits(found, keys, learner, kept.has_tokens)
        logits[name] = tuple(np.float64(logit_V).reshape(-1, crops).mean(axis=1).tolist())
    parameters = sum(parameter.numel() for parameter in learned(learner.detector).values())
    told = {"logits": logits, "parameters": parameters, "seconds": seconds}
    storage.write(place, json.dumps(told).encode())
    return FoldResult(logits, parameters, seconds)
