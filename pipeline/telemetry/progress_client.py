"""Progress client: polls the progress counter from the driver without blocking.

Ray is imported where it is used, since a run in this process does without.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter, WorkerProgress
from pipeline.telemetry.terminal import ProgressDisplay


class ProgressPoller:
    """Polls a progress counter, with at most one pending request.

    Args:
        counter: the actor's handle, or a `ProgressCounter` of this process; None counts nothing.
    """

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._pending: tuple[int, Any] | None = None

    def __call__(self, wave: int, wait: float = 0.0) -> WorkerProgress | None:
        """Request the progress of a wave.

        Args:
            wave: its number.
            wait: timeout in seconds.

        Returns:
            The progress; None if there is no response yet, or the actor has died.
        """
        if self._counter is None:
            return None
        if isinstance(self._counter, ProgressCounter):
            return self._counter.snapshot(wave)
        import ray

        try:
            if self._pending is None or self._pending[0] != wave:
                self._pending = wave, self._counter.snapshot.remote(wave)
            if not ray.wait([self._pending[1]], timeout=wait)[0]:
                return None
            seen: WorkerProgress = ray.get(self._pending[1])
            self._pending = None
        except ray.exceptions.RayError:  # the actor's node is gone: written rows are still counted
            self._counter = None
            return None
        return seen


@contextmanager
def progress_counter(progress: ProgressDisplay) -> Iterator[Any]:
    """Start a progress counter actor if the progress is displayed; it takes a process and no core.

    Yields:
        The actor's handle; None if no progress is displayed.
    """
    if not progress.is_watching:
        yield None
        return
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(here, soft=True)  # on the driver's node, whose end is the end of the run
    actor: Any = ray.remote(ProgressCounter)
    counter = actor.options(num_cpus=0, scheduling_strategy=beside).remote()
    try:
        yield counter
    finally:
        ray.kill(counter)


@contextmanager
def counted_phase(name: str, total: int | None, noun: str) -> Iterator[ProgressReporter | None]:
    """Run a phase whose progress workers report.

    Args:
        name: the phase's name.
        total: number of items, None if unknown.
        noun: what the items are.

    Yields:
        The reporter for the workers; None if no progress is displayed.
    """
    progress = ProgressDisplay.shown()
    with progress_counter(progress) as counter:
        poller = ProgressPoller(counter)

        def poll() -> None:
            """Show what the workers have reported."""
            if seen := poller(1):
                progress.reach(seen.scored)

        with progress.during(name, total, noun), progress.watching(poll):
            yield None if counter is None else ProgressReporter(counter, 1, "")
