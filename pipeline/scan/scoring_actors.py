"""Scoring actors: the actors that hold a run's detectors, and the client by which read tasks send them views.

The actors belong to the run and not to a Ray Data execution, so they outlive its waves: a detector is loaded once for
each actor. A read task sends its views itself, to an actor on its own node where there is one, so that the driver sees
only what is written.
"""

import gc
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pyarrow as pa
import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mole.errors import ModelError, MoleError, StorageError
from pipeline.runtime.cluster import Layout
from pipeline.scan.executor import Pending
from pipeline.scan.models import ModelRef
from pipeline.scan.workers import load_detectors
from pipeline.telemetry import metrics
from pipeline.telemetry.progress_counter import ProgressReporter

PATIENCE_SECONDS = 900.0
"""Seconds for which a read task looks for an actor that scores its views: new machines of a cluster take minutes."""
RETRY_SECONDS = 1.0


class Scorer:
    """The scoring actor; see `pipeline.scan.steps.score`.

    An error of the detector is kept and raised by each call, so that it reaches the driver as it is.

    Args:
        models: location and digest of each detector.
        device: `cpu` or `cuda`.
        threads: cores of a forward pass on CPU.
        batch_size: images of a forward pass.
        reporter: learns when the detector is loaded; None where no progress is shown.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, str]],
        *,
        device: str,
        threads: int,
        batch_size: int,
        reporter: ProgressReporter | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.error: MoleError | None = None
        try:
            self.detectors = load_detectors(models, device=device, threads=threads, batch_size=batch_size)
        except MoleError as reason:
            self.error = reason
        except Exception as reason:  # noqa: BLE001 - raised by each call: an actor that dies here would be awaited
            self.error = ModelError(f"a scorer did not start: {type(reason).__name__}: {reason}")
        if reporter is not None:
            reporter.loaded()
        gc.freeze()  # what lives as long as this process is not collected again

    def score(self, prepared: pa.Table, reporter: ProgressReporter | None) -> pa.Table:
        """Score a table of `PREPARED`; returns a table of `SCORED`.

        Args:
            prepared: the views.
            reporter: receives the number of images of each forward pass; None where no progress is shown.

        Raises:
            ModelError: the detector did not load, or a logit is not finite.
        """
        if self.error is not None:
            raise self.error
        with metrics.record_duration(metrics.Stage.SCORE):
            scored = self.detectors(prepared, None if reporter is None else reporter.scored)
        metrics.record_batch(len(prepared) - prepared["pixels"].null_count, self.batch_size)
        return scored


@dataclass(frozen=True)
class RayScorers:
    """Scoring actors on a cluster, as a read task sees them.

    Attributes:
        actors: their handles, each with the node on which it was placed.
    """

    actors: tuple[tuple[ActorHandle[Scorer], str], ...]

    def submit(self, prepared: pa.Table, reporter: ProgressReporter | None) -> Pending:
        """Send views to an actor; see `Scorers.submit`.

        Calls of an actor that dies go to another one. Which one is drawn: many tasks draw evenly, and no count of
        what each actor has to do needs to be kept anywhere. What goes wrong is raised by the result.

        Raises:
            MoleError: by the result, of the detector.
            StorageError: by the result: no actor has answered for `PATIENCE_SECONDS`.
        """
        views = ray.put(prepared)  # kept by this task, so that another actor can have it
        call = self._call(views, reporter)

        def result() -> pa.Table:
            """Wait for the scores.

            Raises:
                MoleError: of the detector.
                StorageError: no actor has answered for `PATIENCE_SECONDS`.
            """
            nonlocal call
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    scored: pa.Table = ray.get(call)
                    return scored
                except ray.exceptions.RayTaskError as reason:
                    if isinstance(reason.cause, MoleError):
                        raise reason.cause from reason
                    raise
                except ray.exceptions.RayActorError as reason:
                    if time.monotonic() > deadline:
                        raise StorageError(
                            f"no scoring actor has answered for {PATIENCE_SECONDS:.0f} s, each was lost: {reason}; "
                            "see whether their machines have enough memory, and start the run again"
                        ) from reason
                    time.sleep(RETRY_SECONDS)
                    call = self._call(views, reporter)

        return result

    def _call(self, views: Any, reporter: ProgressReporter | None) -> Any:
        here = ray.get_runtime_context().get_node_id()
        near = [actor for actor, node in self.actors if node == here]
        chosen: Any = random.choice(near or [actor for actor, _ in self.actors])
        return chosen.score.remote(views, reporter)


@contextmanager
def scoring_actors(
    models: Sequence[ModelRef], layout: Layout, reporter: ProgressReporter | None
) -> Iterator[RayScorers]:
    """Start the scoring actors of a run, and end them with it.

    Args:
        models: the detectors, which each actor loads.
        layout: how many actors, on what.
        reporter: learns when a detector is loaded; None where no progress is shown.
    """
    actor: Any = ray.remote(Scorer)
    arguments = {
        "models": [(model.location, model.digest) for model in models],
        "device": layout.device,
        "threads": layout.threads,
        "batch_size": layout.batch_size,
        "reporter": reporter,
    }
    nodes = list(islice(cycle(layout.nodes), layout.actors))
    started = tuple(
        (
            actor.options(
                max_restarts=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
                **layout.resources,
            ).remote(**arguments),
            node,
        )
        for node in nodes
    )
    try:
        yield RayScorers(started)
    finally:
        for handle, _ in started:
            ray.kill(handle)
