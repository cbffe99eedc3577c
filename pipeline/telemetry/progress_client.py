"""Asking: a driver asks the counter what its workers have told, and never waits for the answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.telemetry.progress_counter import ProgressCounter, ProgressReporter, WorkerProgress
from pipeline.telemetry.terminal import ProgressDisplay


class ProgressPoller:
    """One question at a time.

    Args:
        counter: the actor's handle.
    """

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._pending: tuple[int, Any] | None = None

    def __call__(self, wave: int, wait: float = 0.0) -> WorkerProgress | None:
        """Ask about a wave.

        Args:
            wave: its number.
            wait: seconds, for the answer.

        Returns:
            What was told of it; None if no answer has come yet, or none will.
        """
        if self._counter is None:
            return None
        try:
            if self._pending is None or self._pending[0] != wave:
                self._pending = wave, self._counter.snapshot.remote(wave)
            if not ray.wait([self._pending[1]], timeout=wait)[0]:
                return None
            seen: WorkerProgress = ray.get(self._pending[1])
            self._pending = None
        except ray.exceptions.RayError:  # the counter's machine is gone: what is written is counted still
            self._counter = None
            return None
        return seen


@contextmanager
def progress_counter(progress: ProgressDisplay) -> Iterator[Any]:
    """Start a counter on a Ray that is connected, if the progress is shown: it costs a process, and no core.

    Yields:
        The actor's handle; None if nobody looks.
    """
    if not progress.is_watching:
        yield None
        return
    here = ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(here, soft=True)  # what ends this machine ends the run with it
    actor: Any = ray.remote(ProgressCounter)
    counter = actor.options(num_cpus=0, scheduling_strategy=beside).remote()
    try:
        yield counter
    finally:
        ray.kill(counter)


@contextmanager
def counted_phase(name: str, total: int | None, noun: str) -> Iterator[ProgressReporter | None]:
    """Have a phase in which workers tell how far they are.

    Args:
        name: of the phase.
        total: of what is to be done.
        noun: what that is.

    Yields:
        What they tell; None if nobody looks.
    """
    progress = ProgressDisplay.shown()
    with progress_counter(progress) as counter:
        poller = ProgressPoller(counter)

        def poll() -> None:
            if seen := poller(1):
                progress.reach(seen.scored)

        with progress.during(name, total, noun), progress.watching(poll):
            yield None if counter is None else ProgressReporter(counter, 1, "")
