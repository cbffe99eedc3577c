"""Draws: which sample each step sees and by which seed, laid down before training, whoever works on it.

Shapes: N samples, K draws of the whole training, B draws a step over all workers, S side of a view.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from numpy.typing import NDArray
from ray.data import Dataset

from mole.errors import SettingsError
from mole.preprocess import Preprocess
from pipeline import storage
from pipeline.tune import workers

Batch = dict[str, NDArray[Any]]
NOBODY = -1
"""The place of a row that only fills up a block."""


@dataclass(frozen=True)
class Draws:
    """What a training sees, in order.

    Attributes:
        place_K: int64, the sample of each draw; B after B, a step each.
        round_K: int64, which round over the samples a draw belongs to; with the sample's group it seeds the delivery.
        batch_size: B.
    """

    place_K: NDArray[np.int64]
    round_K: NDArray[np.int64]
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return len(self.place_K) // self.batch_size


def lay_down(kinds: Sequence[tuple[int, str]], *, epochs: int, steps: int, batch_size: int, seed: int) -> Draws:
    """Draw the samples of every step, each epoch balanced over classes and, within a class, over sources.

    Args:
        kinds: label and source of each sample that may be seen.
        epochs: how many.
        steps: of one epoch.
        batch_size: B.
        seed: decides every draw.

    Raises:
        SettingsError: one of the classes is empty.
    """
    weight_N = balance(kinds)
    drawn = [balanced(weight_N, steps * batch_size, np.random.default_rng((seed, epoch))) for epoch in range(epochs)]
    rounds = np.repeat(np.arange(epochs), steps * batch_size)
    return Draws(np.concatenate([np.empty(0, np.int64), *drawn]), rounds, batch_size)


def balance(kinds: Sequence[tuple[int, str]]) -> NDArray[np.float64]:
    """Weigh samples so that both classes count alike, and within a class every source.

    Args:
        kinds: label and source of each sample.

    Returns:
        weight_N, float64, sum 1.

    Raises:
        SettingsError: one of the classes is empty.
    """
    counts = Counter(kinds)
    sources = Counter(label for label, _ in counts)
    if len(sources) != 2:
        only = sorted(source for _, source in counts)
        raise SettingsError(f"training needs both classes, got only {only}; add samples of the other class")
    return np.array([1 / (2 * sources[kind[0]] * counts[kind]) for kind in kinds])


def balanced(weight_N: NDArray[np.float64], draws: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Draw places, each about as often as its weight says and never by luck alone.

    Args:
        weight_N: float64, sum 1.
        draws: how many.
        chance: of the draws.

    Returns:
        int64 (draws,), shuffled. (Systematic sampling: one random start, even strides.)
    """
    order_N = chance.permutation(len(weight_N))
    edge_N = np.cumsum(weight_N[order_N])
    marks = (np.arange(draws) + chance.random()) / max(1, draws) * edge_N[-1]
    found = order_N[np.minimum(np.searchsorted(edge_N, marks, side="right"), len(order_N) - 1)]
    return chance.permutation(found)


def remaining_views(
    draws: Draws, samples: pa.Table, spec: Preprocess, *, progress: str, processes: int, seed: int
) -> Dataset:
    """Make the views of the steps that are still to be taken, a block for each worker's share of a step.

    Args:
        draws: the plan.
        samples: a table of samples, what the plan's places mean.
        spec: how a view is made.
        progress: the URL of the file that says how far the run was when its last checkpoint was taken.
        processes: how many share a step.
        seed: of the deliveries.
    """
    done = json.loads(storage.read(progress))["step"] if storage.exists(progress) else 0
    first = min(done, draws.steps - 1)
    make = partial(workers.delivered, samples=samples, draws=draws, first=first, spec=spec, seed=seed)
    return _blocks(draws.batch_size * (draws.steps - first), (draws.steps - first) * processes, make)


def plain_views(samples: pa.Table, spec: Preprocess, *, processes: int, block: int = 8) -> Dataset:
    """View samples as they are; rows at the place `NOBODY` fill up so that every worker gets as many."""
    blocks = -(-len(samples) // (block * processes)) * processes
    return _blocks(blocks * block, blocks, partial(workers.plain, samples=samples, spec=spec))


def _blocks(rows: int, blocks: int, make: Callable[[Any], Batch]) -> Dataset:
    ids: Dataset = ray.data.range(rows, override_num_blocks=max(1, blocks))
    return ids.map_batches(make, batch_size=None, batch_format="numpy")
