"""Training task: the settings that the driver sends to every worker of a training, and the names of what workers write.

Everything here is plain data, so that it can be sent to workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from mole.config import DetectorConfig
from mole.views.preprocess import Preprocess

METRICS = "metrics"
INTERPOLATION_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the new adapters that are tried when old and new adapters are interpolated."""
INTERPOLATION_EPOCH = 99_999
"""The epoch number under which that interpolation is recorded, after all epochs."""


@dataclass(frozen=True)
class Stage:
    """A stage of a training: which experts are trained, and on what. The head is refitted at the start of every stage.

    Attributes:
        name: of the stage.
        epochs: maximum number.
        learns: names of the experts that are trained, from `stages.NAMES`; empty for all.
        kinds: kinds of generated images to include; empty for all. Real images are always included.
        head: `layers` for a temporary linear head, used in this stage only; its slope does not depend on how far the
            experts have moved an image. None for the detector's own head.
        penalty: ridge penalty of the head fit; None for that of the schedule.
    """

    name: str
    epochs: int
    learns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    head: str | None = None
    penalty: float | None = None


@dataclass(frozen=True)
class Schedule:
    """Length, learning rates and stopping rule of a training.

    Attributes:
        warmup_steps: steps at the start of each stage that collect features for fitting the head and change no weights;
            0 where tokens are cached.
        steps: steps per epoch; the warm-up steps are part of the first epoch.
        stages: run one after the other.
        penalty: ridge penalty of the head fit.
        head_rate: peak learning rate of the head.
        expert_rate: peak learning rate of the experts.
        decay: weight decay.
        patience: epochs without a better validation score after which a stage stops.
        consistency: weight of the squared difference between the logits of two augmented variants of an image, which
            are then adjacent in a batch.
        whitening: of a kernel head, in [0, 1]; see `mole.training.head_fit`.
        patches: patch tokens kept in a training step, redrawn every step; None for all. Scoring always uses all.
    """

    warmup_steps: int
    steps: int
    stages: tuple[Stage, ...]
    penalty: float
    head_rate: float
    expert_rate: float
    decay: float
    patience: int
    consistency: float = 0.0
    whitening: float = 0.0
    patches: int | None = None

    @property
    def epochs(self) -> int:
        """Maximum number of epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def last_step(self) -> int:
        """The step after which training ends, if no stage stops early."""
        return self.steps * self.epochs

    def bounds(self, stage: int) -> tuple[int, int]:
        """Return the first step of a stage, and the step after its last."""
        ends = [self.steps * epochs for epochs in accumulate(stage.epochs for stage in self.stages)]
        return (ends[stage - 1] if stage else 0), ends[stage]

    def __iter__(self) -> Iterator[Stage]:
        """Yield the stages in order."""
        return iter(self.stages)


@dataclass(frozen=True)
class Task:
    """What the driver sends to every worker.

    Attributes:
        base: where every machine finds the checkpoint whose tower, and possibly adapters, training starts from.
        digest: of that checkpoint.
        keep_adapters: start from its adapters too.
        detector: experts and head.
        spec: preprocessing of views.
        bfloat16: run the frozen tower in bfloat16.
        schedule: length and learning rates.
        batch_size: draws per step over all workers.
        seed: of the new adapters.
        run: the run's folder URL.
        labels: of the validation samples.
        sources: of the validation samples.
        stopping_generators: the generators whose mean validation score decides when to stop; empty for all.
    """

    base: str
    digest: str
    keep_adapters: bool
    detector: DetectorConfig
    spec: Preprocess
    bfloat16: bool
    schedule: Schedule
    batch_size: int
    seed: int
    run: str
    labels: tuple[int, ...]
    sources: tuple[str, ...]
    stopping_generators: tuple[str, ...]


@dataclass(frozen=True)
class CachedViews:
    """The views of a training in a token cache.

    Attributes:
        folder: the cache folder of the trunk.
        training: keys, ordered by sample, then variant, then view.
        variants: augmented variants per sample.
        views: views per variant.
        labels: of the training samples.
        weights: for each stage, the weight of each training sample when the head is fitted.
        validation: keys, ordered by sample, then view.
        has_tokens: whether tokens are cached too, and not only features.
    """

    folder: str
    training: tuple[str, ...]
    variants: int
    views: int
    labels: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]
    validation: tuple[str, ...]
    has_tokens: bool
