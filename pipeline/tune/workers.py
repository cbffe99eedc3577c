"""What Ray calls on workers, by names that cost those in between nothing.

The imports stand inside on purpose: Ray Train's controller and Ray Data's own actors unpickle these names, and torch
and open_clip, which only those who train and decode need, take a core a quarter of a minute in each of them.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from mole.preprocess import Preprocess


def work(config: Mapping[str, Any]) -> None:
    """Train; see `pipeline.tune.worker`."""
    from pipeline.tune.worker import work as work_here

    work_here(config)


def delivered(ids: Any, *, samples: pa.Table, draws: Any, first: int, spec: Preprocess, seed: int) -> Any:
    """View a block of a training's draws; see `pipeline.tune.delivery`."""
    from pipeline.tune.delivery import delivered as delivered_here

    ids = {"id": ids["id"] + first * draws.batch_size}
    return delivered_here(ids, draws, samples=samples, spec=spec, seed=seed)


def plain(ids: Any, *, samples: pa.Table, spec: Preprocess) -> Any:
    """View a block of samples as they are; see `pipeline.tune.delivery`."""
    from pipeline.tune.delivery import plain as plain_here

    return plain_here(ids, samples=samples, spec=spec)
