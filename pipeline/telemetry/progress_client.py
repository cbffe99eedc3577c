"""Asking: a driver asks the tally what its workers have told, and never waits for the answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.telemetry.tally import Seen, Tally, Teller
from pipeline.telemetry.terminal import Ticker


class Asker:
    """One question at a time.

    Args:
        tally: the actor's handle.
    """

    def __init__(self, tally: Any) -> None:
        self._tally = tally
        self._asked: tuple[int, Any] | None = None

    def __call__(self, wave: int, wait: float = 0.0) -> Seen | None:
        """Ask about a wave.

        Args:
            wave: its number.
            wait: seconds, for the answer.

        Returns:
            What was told of it; None where no answer has come yet, or none will.
        """
        if self._tally is None:
            return None
        try:
            if self._asked is None or self._asked[0] != wave:
                self._asked = wave, self._tally.look.remote(wave)
            if not ray.wait([self._asked[1]], timeout=wait)[0]:
                return None
            seen: Seen = ray.get(self._asked[1])
            self._asked = None
        except ray.exceptions.RayError:  # the tally's machine is gone: what is written is counted still
            self._tally = None
            return None
        return seen


@contextmanager
def tallied(ticker: Ticker) -> Iterator[Any]:
    """Start a tally on a Ray that is connected, if the ticker is shown: it costs a process, and no core.

    Yields:
        The actor's handle; None where nobody looks.
    """
    if not ticker.is_watching:
        yield None
        return
    here = ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(here, soft=True)  # what ends this machine ends the run with it
    actor: Any = ray.remote(Tally)
    tally = actor.options(num_cpus=0, scheduling_strategy=beside).remote()
    try:
        yield tally
    finally:
        ray.kill(tally)


@contextmanager
def counting(name: str, total: int | None, noun: str) -> Iterator[Teller | None]:
    """Have a phase in which workers tell how far they are.

    Args:
        name: of the phase.
        total: of what is to be done.
        noun: what that is.

    Yields:
        What they tell; None where nobody looks.
    """
    ticker = Ticker.shown()
    with tallied(ticker) as tally:
        ask = Asker(tally)

        def look() -> None:
            if seen := ask(1):
                ticker.reach(seen.scored)

        with ticker.during(name, total, noun), ticker.watching(look):
            yield None if tally is None else Teller(tally, 1, "")
