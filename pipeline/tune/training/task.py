"""The task: what the driver tells every worker of a training, and where they leave what they did."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from mole.config import DetectorConfig
from mole.views.preprocess import Preprocess

METRICS = "metrics"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the new adapters, that are tried against forgetting."""
MIXING = 99_999
"""The number under which the choice among them stands behind the epochs."""


@dataclass(frozen=True)
class Stage:
    """A part of a training: which experts learn, and from what. The head learns in each, fitted anew first.

    Attributes:
        name: of the stage.
        epochs: at most.
        learns: names of experts, as `stages.EXPERTS` has them; none for all that can.
        kinds: of the generated images that it sees; none for all. Real images are seen in each.
        head: `layers` for a linear head of this stage alone, whose slope is the same wherever experts move an image;
            None for the detector's own.
        penalty: of the head that is fitted; None for the course's.
    """

    name: str
    epochs: int
    learns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    head: str | None = None
    penalty: float | None = None


@dataclass(frozen=True)
class Schedule:
    """How long a training is and how it moves.

    Attributes:
        looking: steps at the start of a stage that move nothing, where views are not kept; the head is fitted to what
            they saw.
        steps: steps of an epoch, the looking ones included in the first.
        stages: one after the other.
        penalty: of the head that is fitted.
        head_rate: the highest learning rate of the head.
        expert_rate: the highest of the experts.
        decay: of all weights.
        patience: epochs without a better score after which a stage stops.
        consistency: weight of the squared difference between two deliveries of one image, which lie side by side in a
            batch then.
        patches: patch tokens that a step keeps, drawn anew each step; None for all. What is scored keeps them all.
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
    patches: int | None = None

    @property
    def epochs(self) -> int:
        """Of all stages, at most."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def last_step(self) -> int:
        """The step at which it ends."""
        return self.steps * self.epochs

    def bounds(self, stage: int) -> tuple[int, int]:
        """Tell the first step of a stage, and the one behind its last."""
        ends = [self.steps * epochs for epochs in accumulate(stage.epochs for stage in self.stages)]
        return (ends[stage - 1] if stage else 0), ends[stage]

    def __iter__(self) -> Iterator[Stage]:
        """Yield the stages in their order."""
        return iter(self.stages)


@dataclass(frozen=True)
class Task:
    """What the driver tells every worker.

    Attributes:
        base: names the checkpoint whose tower, and perhaps adapters, are begun with.
        digest: of that checkpoint.
        keep_adapters: begin with its adapters too.
        detector: experts and head.
        spec: how views are made.
        bfloat16: run the frozen tower in it.
        course: how long, how fast.
        batch_size: draws a step over all workers.
        seed: of the fresh adapters.
        run: the folder URL of the run.
        labels: of the validation samples.
        sources: of the validation samples.
        judges: the generators whose mean decides; none for all.
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
    """What a worker finds in a folder of tokens.

    Attributes:
        folder: of one trunk.
        training: keys, view by view, delivery by delivery, sample by sample.
        rounds: deliveries of a sample.
        views: of a delivery.
        labels: of the training samples.
        weights: of each stage, how much each training sample counts where its head is fitted.
        validation: keys, view by view, sample by sample.
        has_tokens: whether there is more than what is read.
    """

    folder: str
    training: tuple[str, ...]
    variants: int
    views: int
    labels: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]
    validation: tuple[str, ...]
    has_tokens: bool
