"""The task: what the driver tells every worker of a training, and where they leave what they did."""

from dataclasses import dataclass

from mole.config import DetectorConfig
from mole.preprocess import Preprocess

METRICS = "metrics"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the new adapters, that are tried against forgetting."""
MIXING = 99_999
"""The number under which the choice among them stands behind the epochs."""


@dataclass(frozen=True)
class Course:
    """How long a training is and how it moves.

    Attributes:
        looking: steps at the start that move nothing; the head is fitted to what they saw.
        steps: steps of an epoch, the looking ones included in the first.
        epochs: at most.
        penalty: of the head that is fitted.
        head_rate: the highest learning rate of the head.
        expert_rate: the highest of the experts.
        decay: of all weights.
        patience: epochs without a better score after which training stops.
    """

    looking: int
    steps: int
    epochs: int
    penalty: float
    head_rate: float
    expert_rate: float
    decay: float
    patience: int

    @property
    def last(self) -> int:
        """The step at which it ends."""
        return self.steps * self.epochs


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
    course: Course
    batch_size: int
    seed: int
    run: str
    labels: tuple[int, ...]
    sources: tuple[str, ...]
    judges: tuple[str, ...]
