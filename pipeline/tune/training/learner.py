"""Learner: the detector under training in one process, its optimizer, its progress and its best state so far.

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

from mole.checkpoint import load_adapters
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
    """Progress of a training; its fields are the keys of `progress.json` in a checkpoint.

    Attributes:
        step: the next step.
        stage: the stage that it belongs to.
        fitted: whether the head of this stage has been fitted.
        told: number of entries in the training's history.
        best: the best score of this stage so far; None before the first.
        stale: epochs since then.
        mixed: the share of new adapters in the best state, if training started from existing adapters and has ended.
    """

    step: int = 0
    stage: int = 0
    fitted: bool = False
    told: int = 0
    best: float | None = None
    stale: int = 0
    mixed: float | None = None


class Learner:
    """The detector under training in one process; all processes of a distributed training hold the same weights.

    Args:
        detector: on its device; trainable parameters are float32.
        spec: preprocessing, which says how views are normalised.
        schedule: length, learning rates and stopping rule.
        keep_head: continue with the head as it is instead of fitting it first.

    Raises:
        SettingsError: the schedule drops patches, and the tower needs all of them.
    """

    def __init__(self, detector: MoLE, spec: Preprocess, schedule: Schedule, *, keep_head: bool = False) -> None:
        if schedule.patches is not None and detector.tower.turns:
            raise SettingsError(
                f"--patches {schedule.patches} drops patches, and the attention of this tower uses rotary position "
                "embeddings, which need all of them; leave the flag out"
            )
        self.detector, self.spec, self.schedule = detector, spec, schedule
        prepare_for_training(detector)
        self.head = detector.head
        self.progress = Progress(fitted=keep_head)
        self.stage_start = self.best = self.state()
        self._warmup: list[tuple[Tensor, Tensor]] = []
        self._start_stage()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.schedule.stages[self.progress.stage]

    @property
    def ended(self) -> bool:
        """Whether the current stage has ended, by its number of epochs or by patience."""
        end = self.schedule.bounds(self.progress.stage)[1]
        return self.progress.fitted and (self.progress.step >= end or self.progress.stale >= self.schedule.patience)

    @property
    def done(self) -> bool:
        """Whether the training has ended."""
        return self.ended and self.progress.stage + 1 == len(self.schedule.stages)

    @property
    def is_warmup(self) -> bool:
        """Whether the next step is a warm-up step, which collects features and changes no weights."""
        return not self.progress.fitted and self._stage_step < self.schedule.warmup_steps

    @property
    def _stage_step(self) -> int:
        return self.progress.step - self.schedule.bounds(self.progress.stage)[0]

    def next_stage(self) -> None:
        """Start the next stage from the best state of this one."""
        self.stage_start = self.merged_state()
        now = self.progress
        self.progress = Progress(self.schedule.bounds(now.stage)[1], now.stage + 1, told=now.told)
        self._start_stage()

    def merged_state(self) -> dict[str, Tensor]:
        """Return the best state of this stage, with weights that the stage does not train as they were before it.

        Tensors by the names of `stored`, on the CPU, in the shapes and dtypes of the detector.
        """
        merged = dict(self.best)
        for name in self.partly_frozen:
            merged[name] = torch.where(self.trainable[name].cpu(), self.best[name], self.stage_start[name])
        return merged

    @property
    def has_trained_experts(self) -> bool:
        """Whether any expert changes the tower's output, that is, has an up-projection that is not zero."""
        return any(bool(tensor.any()) for name, tensor in learned(self.detector).items() if name.endswith("up_DR"))

    def _start_stage(self) -> None:
        """Start a stage: set its head, switch off the experts it does not train, and reset the optimizer."""
        self.detector.head = self.head if self.stage.head is None else linear_head(self.detector)
        new_head = {name: tensor.cpu() for name, tensor in stored(self.detector).items() if name.startswith("head.")}
        state = {name: tensor for name, tensor in self.stage_start.items() if not name.startswith("head.")}
        if shapes(self.stage_start) == shapes(new_head | state):
            state = self.stage_start  # the same head as in the stage before: the fit starts from its weights
        self.load_state(without_untrained_experts(self.detector, self.stage.learns, new_head | state))
        self.best = self.state()
        self.trainable = trainable_masks(self.detector, self.stage.learns)
        self.partly_frozen = {
            name: own for name, own in learned(self.detector).items() if not bool(self.trainable[name].all())
        }
        rates = Rates(self.schedule.head_rate, self.schedule.expert_rate, self.schedule.decay)
        self.optimizer = optimizer_for(self.detector, rates)
        self.peak_rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def tokens(self, pixels_B3SS: Tensor) -> Tensor:
        """Run the frozen trunk over uint8 views; token_BTD in the tower's dtype, without a gradient."""
        with torch.no_grad():
            view_B3SS = normalise(pixels_B3SS.to(self.device), self.spec).to(self.detector.dtype)
            token_BTD: Tensor = self.detector.trunk(view_B3SS)
        return token_BTD

    @property
    def device(self) -> torch.device:
        """The device of the detector."""
        return self.detector.device

    def train_step(self, token_BTD: Tensor, label_B: Tensor) -> StepReport | None:
        """Take one step.

        Args:
            token_BTD: output of the trunk for this process's share of the batch.
            label_B: float32, 1 for generated.

        Returns:
            The metrics of the step; None for a warm-up step.

        Raises:
            ModelError: the loss is not finite.
        """
        token_BTD, label_B = token_BTD.to(self.device), label_B.to(self.device)
        report = None
        if self.is_warmup:
            self._warmup.append((self.features(token_BTD), label_B))
        else:
            self.progress.fitted = True
            self._set_rates()
            before = {name: parameter.detach().clone() for name, parameter in self.partly_frozen.items()}
            chosen = self._sampled_tokens(token_BTD.shape[1])
            report = training_step(
                self.detector, self.optimizer, token_BTD[:, chosen], label_B, consistency=self.schedule.consistency
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
        """Draw the tokens of a step, the same in all processes: all prefix tokens and some patch tokens.

        Source: PatchDropout, Liu et al. 2022, arXiv:2208.07220; here applied after the frozen trunk only.
        """
        prefix = self.detector.tower.prefix
        patches = min(self.schedule.patches or tokens, tokens - prefix)
        drawn = random.Random(self.progress.step).sample(range(prefix, tokens), patches)
        return [*range(prefix), *sorted(drawn)]

    def _set_rates(self) -> None:
        start, end = self.schedule.bounds(self.progress.stage)
        warmup = self.schedule.warmup_steps
        share = schedule(self._stage_step - warmup, end - start - warmup)
        for group, rate in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = rate * share

    def features(self, token_BTD: Tensor) -> Tensor:
        """Compute what the head reads, with the experts as they are now; feature_BF, float32."""
        with torch.no_grad():
            return self.detector.feature(token_BTD.to(self.device))[0]

    def fit_head(self, feature_NF: Tensor, label_N: Tensor, weight_N: Tensor) -> None:
        """Fit the head to the features of all processes, which have equally many; those of weight 0 are ignored."""
        feature_NF, label_N, weight_N = (all_gather(part.to(self.device)) for part in (feature_NF, label_N, weight_N))
        penalty = self.schedule.penalty if self.stage.penalty is None else self.stage.penalty
        fit_head(self.detector, feature_NF, label_N, weight_N, penalty, whitening=self.schedule.whitening)
        if distributed.is_initialized():
            for tensor in (*self.detector.head.parameters(), *self.detector.head.buffers()):
                raw = tensor.data if tensor.itemsize > 1 else tensor.data.view(torch.uint8)  # no float8 is sent
                distributed.broadcast(raw, src=0)  # identical to the last bit on different processors too
        self.progress.fitted = True

    def record_score(self, score: float | None) -> None:
        """Record the score of an epoch: keep the state if it is the best so far, otherwise count a stale epoch.

        Args:
            score: None without validation; the last epoch is then the best.
        """
        if score is None or self.progress.best is None or score > self.progress.best:
            self.progress.best, self.progress.stale, self.best = score, 0, self.state()
        else:
            self.progress.stale += 1

    def logits(self, token_NTD: Tensor, *, batch: int = 16) -> NDArray[np.float32]:
        """Score tokens; logit_N float32."""
        with torch.no_grad():
            parts = [
                self.detector.forward_tokens(token_BTD.to(self.device)).logit_B.cpu()
                for token_BTD in torch.split(token_NTD, batch)
            ]
        return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)

    def state(self) -> dict[str, Tensor]:
        """Copy the trained parameters and the buffers of the head to the CPU, in their shapes and dtypes."""
        return {name: tensor.detach().cpu().clone() for name, tensor in stored(self.detector).items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load parameters and buffers from a state, which has the names, shapes and dtypes of `state`.

        Raises:
            ModelError: it does not fit the detector.
        """
        load_adapters(self.detector, dict(state), "the training checkpoint")

    def save(self, folder: Path) -> None:
        """Write everything from which a later process can resume exactly."""
        states = {ADAPTERS: self.state(), BEST: self.best, STAGE_START: self.stage_start, MERGED: self.merged_state()}
        for name, state in states.items():
            save_file(state, folder / name)
        torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
        (folder / PROGRESS).write_text(json.dumps(asdict(self.progress)))

    def restore(self, folder: Path) -> None:
        """Resume from what `save` wrote."""
        self.progress = Progress(**json.loads((folder / PROGRESS).read_text()))
        self.stage_start = load_file(folder / STAGE_START)
        self._start_stage()
        self.load_state(load_file(folder / ADAPTERS))
        self.best = load_file(folder / BEST)
        self.optimizer.load_state_dict(torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True))


def linear_head(detector: MoLE) -> Head:
    """Build a linear head on the features of the detector's own head, for a stage in which experts are trained."""
    features = detector.head.features
    config = detector.config.model_copy(update={"head": "layers", "head_depth": 1})
    return Head(features, config, standard=detector.head.standard is not None).to(detector.device)


def shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each tensor of a state, by name."""
    return {name: tensor.shape for name, tensor in state.items()}


def all_gather(tensor_N: Tensor) -> Tensor:
    """Concatenate the equally long tensors of all processes, (N, ...) to (world * N, ...), same dtype."""
    if not distributed.is_initialized():
        return tensor_N
    parts = [torch.empty_like(tensor_N) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor_N.contiguous())
    return torch.cat(parts)
