"""The learner: one process's part of a training: the detector, how far it is, and the best that it has been.

Legend: B batch of one process, N views, S side of a view, T tokens, D width, F feature.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed

from mole.checkpoint import put
from mole.errors import SettingsError
from mole.model.detector import MoLE, learned, stored
from mole.model.head import Head
from mole.tower.attention import prepare_for_training
from mole.tower.vit import normalise
from mole.training.step import Rates, StepReport, fit_head, optimizer_for, schedule, training_step
from mole.views.preprocess import Preprocess
from pipeline.tune.training.stages import trainable_masks, without_untrained_experts
from pipeline.tune.training.task import Schedule, Stage

ADAPTERS, BEST, STAGE_START, MERGED = (f"{name}.safetensors" for name in ("adapters", "best", "whole", "outcome"))
OPTIMIZER, PROGRESS = "optimizer.pt", "progress.json"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: the next one.
        stage: that it belongs to.
        fitted: whether the head of this stage has been fitted.
        told: entries of its history.
        best: the best score of this stage so far; None before there is one.
        stale: epochs since then.
        mixed: the share of new adapters in the best, where training began with old ones and has ended.
    """

    step: int = 0
    stage: int = 0
    fitted: bool = False
    told: int = 0
    best: float | None = None
    stale: int = 0
    mixed: float | None = None


class Learner:
    """The detector under training in one process; in a distributed training all processes hold the same.

    Args:
        detector: on its device; what learns is float32.
        spec: how its views are normalised.
        course: how long, how fast.
        keeps_head: whether the head is gone on with as it is, and not fitted first.

    Raises:
        SettingsError: steps are to keep some patches of a tower that needs them all.
    """

    def __init__(self, detector: MoLE, spec: Preprocess, course: Schedule, *, keeps_head: bool = False) -> None:
        if course.patches is not None and detector.tower.turns:
            raise SettingsError(
                f"--patches {course.patches} leaves patches out, and the attention of this tower turns by the place of "
                "each; leave the flag out"
            )
        self.detector, self.spec, self.schedule = detector, spec, course
        prepare_for_training(detector)
        self.head = detector.head
        self.progress = Progress(fitted=keeps_head)
        self.stage_start = self.best = self.state()
        self._warmup: list[tuple[Tensor, Tensor]] = []
        self._start_stage()

    @property
    def stage(self) -> Stage:
        """The stage that it is in."""
        return self.schedule.stages[self.progress.stage]

    @property
    def ended(self) -> bool:
        """Whether this stage is over, by its length or by its patience."""
        end = self.schedule.bounds(self.progress.stage)[1]
        return self.progress.fitted and (self.progress.step >= end or self.progress.stale >= self.schedule.patience)

    @property
    def done(self) -> bool:
        """Whether the training is over."""
        return self.ended and self.progress.stage + 1 == len(self.schedule.stages)

    @property
    def is_warmup(self) -> bool:
        """Whether the next step only looks."""
        return not self.progress.fitted and self._stage_step < self.schedule.warmup_steps

    @property
    def _stage_step(self) -> int:
        return self.progress.step - self.schedule.bounds(self.progress.stage)[0]

    def next_stage(self) -> None:
        """Go on to the next stage, from the best of this one."""
        self.stage_start = self.merged_state()
        now = self.progress
        self.progress = Progress(self.schedule.bounds(now.stage)[1], now.stage + 1, told=now.told)
        self._start_stage()

    def merged_state(self) -> dict[str, Tensor]:
        """Tell what the training has come to: the best of this stage, and beside it what the stage left alone."""
        told = dict(self.best)
        for name in self.partly_frozen:
            told[name] = torch.where(self.trainable[name].cpu(), self.best[name], self.stage_start[name])
        return told

    @property
    def has_trained_experts(self) -> bool:
        """Whether any expert adds anything to the tower."""
        return any(bool(tensor.any()) for name, tensor in learned(self.detector).items() if name.endswith("up_DR"))

    def _start_stage(self) -> None:
        """Begin a stage: give it its head, silence what has no part in it, and let the rest move from rest."""
        self.detector.head = self.head if self.stage.head is None else linear_head(self.detector)
        fresh = {name: tensor.cpu() for name, tensor in stored(self.detector).items() if name.startswith("head.")}
        kept = {name: tensor for name, tensor in self.stage_start.items() if not name.startswith("head.")}
        if shapes(self.stage_start) == shapes(fresh | kept):
            kept = self.stage_start  # the same head as before, which is fitted again from where it stands
        self.load_state(without_untrained_experts(self.detector, self.stage.learns, fresh | kept))
        self.best = self.state()
        self.trainable = trainable_masks(self.detector, self.stage.learns)
        self.partly_frozen = {
            name: own for name, own in learned(self.detector).items() if not bool(self.trainable[name].all())
        }
        course = self.schedule
        self.optimizer = optimizer_for(self.detector, Rates(course.head_rate, course.expert_rate, course.decay))
        self.peak_rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def tokens(self, pixels_B3SS: Tensor) -> Tensor:
        """Run the frozen trunk over uint8 views; token_BTD in the tower's dtype, without a gradient."""
        with torch.no_grad():
            view_B3SS = normalise(pixels_B3SS.to(self.device), self.spec).to(self.detector.dtype)
            token_BTD: Tensor = self.detector.trunk(view_B3SS)
        return token_BTD

    @property
    def device(self) -> torch.device:
        """Where the detector is."""
        return self.detector.device

    def train_step(self, token_BTD: Tensor, label_B: Tensor) -> StepReport | None:
        """Take one step.

        Args:
            token_BTD: this process's share, behind the trunk.
            label_B: float32, 1 for generated.

        Returns:
            What the step measured; None where it only looked.

        Raises:
            ModelError: the loss is not a number.
        """
        token_BTD, label_B = token_BTD.to(self.device), label_B.to(self.device)
        report = None
        if self.is_warmup:
            self._warmup.append((self.features(token_BTD), label_B))
        else:
            self.progress.fitted = True
            self._set_rates()
            before = {name: parameter.detach().clone() for name, parameter in self.partly_frozen.items()}
            kept = self._sampled_tokens(token_BTD.shape[1])
            report = training_step(
                self.detector, self.optimizer, token_BTD[:, kept], label_B, consistency=self.schedule.consistency
            )
            with torch.no_grad():
                for name, parameter in self.partly_frozen.items():
                    parameter.copy_(torch.where(self.trainable[name], parameter, before[name]))
        self.progress.step += 1
        if self._warmup and not self.is_warmup:
            features, labels = (torch.cat(parts) for parts in zip(*self._warmup, strict=True))
            self._warmup = []
            self.fit_head(features, labels, torch.ones_like(labels))
        return report

    def _sampled_tokens(self, tokens: int) -> list[int]:
        """Draw the tokens of a step, the same in all processes: those before the patches, and some patches.

        Source: PatchDropout, Liu et al. 2022, arXiv:2208.07220, here above the frozen trunk alone.
        """
        prefix = self.detector.tower.prefix
        patches = min(self.schedule.patches or tokens, tokens - prefix)
        drawn = random.Random(self.progress.step).sample(range(prefix, tokens), patches)
        return [*range(prefix), *sorted(drawn)]

    def _set_rates(self) -> None:
        begin, end = self.schedule.bounds(self.progress.stage)
        looked = self.schedule.warmup_steps
        share = schedule(self._stage_step - looked, end - begin - looked)
        for group, rate in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = rate * share

    def features(self, token_BTD: Tensor) -> Tensor:
        """Read what the head reads, as the experts are now; feature_BF, float32."""
        with torch.no_grad():
            return self.detector.feature(token_BTD.to(self.device))[0]

    def fit_head(self, feature_NF: Tensor, label_N: Tensor, weight_N: Tensor) -> None:
        """Fit the head to the features that every process holds, equally many each; a weight of 0 counts nothing."""
        feature_NF, label_N, weight_N = (all_gather(part.to(self.device)) for part in (feature_NF, label_N, weight_N))
        penalty = self.schedule.penalty if self.stage.penalty is None else self.stage.penalty
        fit_head(self.detector, feature_NF, label_N, weight_N, penalty)
        if distributed.is_initialized():
            for tensor in (*self.detector.head.parameters(), *self.detector.head.buffers()):
                distributed.broadcast(tensor.data, src=0)  # the same to the last digit, whatever each processor is
        self.progress.fitted = True

    def record_score(self, score: float | None) -> None:
        """Take the score of an epoch: keep what learned if it is the best so far, else lose patience.

        Args:
            score: None where nothing is watched: the last is the best then.
        """
        if score is None or self.progress.best is None or score > self.progress.best:
            self.progress.best, self.progress.stale, self.best = score, 0, self.state()
        else:
            self.progress.stale += 1

    def logits(self, token_NTD: Tensor, *, batch: int = 16) -> NDArray[np.float32]:
        """Score tokens; logit_N float32."""
        with torch.no_grad():
            parts = [
                self.detector.tail(token_BTD.to(self.device)).logit_B.cpu()
                for token_BTD in torch.split(token_NTD, batch)
            ]
        return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)

    def state(self) -> dict[str, Tensor]:
        """Copy what learns, and what the head was fitted by."""
        return {name: tensor.detach().cpu().clone() for name, tensor in stored(self.detector).items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take on what was learned elsewhere.

        Raises:
            ModelError: it does not fit.
        """
        put(self.detector, dict(state), "what was learned before")

    def save(self, folder: Path) -> None:
        """Write all that a later process needs to go on as if nothing had happened."""
        states = {ADAPTERS: self.state(), BEST: self.best, STAGE_START: self.stage_start, MERGED: self.merged_state()}
        for name, state in states.items():
            save_file(state, folder / name)
        torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
        (folder / PROGRESS).write_text(json.dumps(asdict(self.progress)))

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        self.progress = Progress(**json.loads((folder / PROGRESS).read_text()))
        self.stage_start = load_file(folder / STAGE_START)
        self._start_stage()
        self.load_state(load_file(folder / ADAPTERS))
        self.best = load_file(folder / BEST)
        self.optimizer.load_state_dict(torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True))


def linear_head(detector: MoLE) -> Head:
    """Build a linear head over what a detector's own one reads, for a stage in which experts learn."""
    features = detector.head.features
    config = detector.config.model_copy(update={"head": "layers", "head_depth": 1})
    return Head(features, config, standard=detector.head.standard is not None).to(detector.device)


def shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Tell what a state holds, by name."""
    return {name: tensor.shape for name, tensor in state.items()}


def all_gather(tensor_N: Tensor) -> Tensor:
    """Put the equally long tensors of all processes behind each other, (N, ...) to (world * N, ...), same dtype."""
    if not distributed.is_initialized():
        return tensor_N
    parts = [torch.empty_like(tensor_N) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor_N.contiguous())
    return torch.cat(parts)
