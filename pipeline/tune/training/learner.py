"""The learner: one process's part of a training: the detector, how far it is, and the best that it has been.

Legend: B batch of one process, N views, S side of a view, T tokens, D width, F feature.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed

from mole.attention import prepare_for_training
from mole.checkpoint import put
from mole.detector import MoLE, learned
from mole.preprocess import Preprocess
from mole.tower import normalise
from mole.training import Rates, StepReport, fit_head, optimizer_for, schedule, training_step
from pipeline.tune.training.task import Course

ADAPTERS, BEST, OPTIMIZER, PROGRESS = "adapters.safetensors", "best.safetensors", "optimizer.pt", "progress.json"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: the next one.
        best: the best score so far.
        stale: epochs since then.
        mixed: the share of new adapters in the best, where training began with old ones and has ended.
    """

    step: int = 0
    best: float = -math.inf
    stale: int = 0
    mixed: float | None = None


class Learner:
    """The detector under training in one process; in a distributed training all processes hold the same.

    Args:
        detector: on its device; what learns is float32.
        spec: how its views are normalised.
        course: how long, how fast.
    """

    def __init__(self, detector: MoLE, spec: Preprocess, course: Course) -> None:
        self.detector, self.spec, self.course = detector, spec, course
        prepare_for_training(detector)
        self.optimizer = optimizer_for(detector, Rates(course.head_rate, course.expert_rate, course.decay))
        self.highest = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.progress = Progress()
        self.best = self.state()
        self._seen: list[tuple[Tensor, Tensor]] = []

    @property
    def done(self) -> bool:
        """Whether training has ended, by its length or by its patience."""
        return self.progress.step >= self.course.last or self.progress.stale >= self.course.patience

    @property
    def looks(self) -> bool:
        """Whether the next step only looks."""
        return self.progress.step < self.course.looking

    def tokens(self, pixels_B3SS: Tensor) -> Tensor:
        """Run the frozen trunk over uint8 views; token_BTD in the tower's dtype, without a gradient."""
        embedding_D = self.detector.tower.class_embedding
        dtype, device = embedding_D.dtype, embedding_D.device
        with torch.no_grad():
            token_BTD: Tensor = self.detector.trunk(normalise(pixels_B3SS.to(device), self.spec).to(dtype))
        return token_BTD

    def learn(self, pixels_B3SS: Tensor, label_B: Tensor) -> StepReport | None:
        """Take one step.

        Args:
            pixels_B3SS: uint8 views of this process's share.
            label_B: float32, 1 for generated.

        Returns:
            What the step measured; None where it only looked.

        Raises:
            ModelError: the loss is not a number.
        """
        token_BTD = self.tokens(pixels_B3SS)
        label_B = label_B.to(token_BTD.device)
        report = None
        if self.looks:
            with torch.no_grad():
                self._seen.append((self.detector.feature(token_BTD)[0], label_B))
        else:
            share = schedule(self.progress.step - self.course.looking, self.course.last - self.course.looking)
            for group, rate in zip(self.optimizer.param_groups, self.highest, strict=True):
                group["lr"] = rate * share
            report = training_step(self.detector, self.optimizer, token_BTD, label_B)
        self.progress.step += 1
        if self._seen and not self.looks:
            self._settle()
        return report

    def _settle(self) -> None:
        """Fit the head to all that every process has looked at."""
        feature_NF = gathered(torch.cat([feature_BF for feature_BF, _ in self._seen]))
        label_N = gathered(torch.cat([label_B for _, label_B in self._seen]))
        self._seen = []
        fit_head(self.detector, feature_NF, label_N, torch.ones_like(label_N), self.course.penalty)
        if distributed.is_initialized():
            for parameter in self.detector.head.parameters():
                distributed.broadcast(parameter.data, src=0)  # the same to the last digit, whatever each processor is

    def judge(self, score: float) -> None:
        """Take the score of an epoch: keep what learned if it is the best so far, else lose patience."""
        if score > self.progress.best:
            self.progress.best, self.progress.stale, self.best = score, 0, self.state()
        else:
            self.progress.stale += 1

    def logits(self, token_NTD: Tensor, *, batch: int = 16) -> NDArray[np.float32]:
        """Score cached tokens; logit_N float32."""
        with torch.no_grad():
            parts = [self.detector.tail(token_BTD).logit_B.cpu() for token_BTD in torch.split(token_NTD, batch)]
        return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)

    def state(self) -> dict[str, Tensor]:
        """Copy what learns."""
        return {name: parameter.detach().cpu().clone() for name, parameter in learned(self.detector).items()}

    def become(self, state: Mapping[str, Tensor]) -> None:
        """Take on what was learned elsewhere.

        Raises:
            ModelError: it does not fit.
        """
        put(self.detector, dict(state), "what was learned before")

    def save(self, folder: Path) -> None:
        """Write all that a later process needs to go on as if nothing had happened."""
        save_file(self.state(), folder / ADAPTERS)
        save_file(self.best, folder / BEST)
        torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
        (folder / PROGRESS).write_text(json.dumps(asdict(self.progress)))

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        self.become(load_file(folder / ADAPTERS))
        self.best = load_file(folder / BEST)
        self.optimizer.load_state_dict(torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True))
        self.progress = Progress(**json.loads((folder / PROGRESS).read_text()))


def gathered(tensor_N: Tensor) -> Tensor:
    """Put the equally long tensors of all processes behind each other, (N, ...) to (world * N, ...), same dtype."""
    if not distributed.is_initialized():
        return tensor_N
    parts = [torch.empty_like(tensor_N) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor_N.contiguous())
    return torch.cat(parts)
