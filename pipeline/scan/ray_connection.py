"""Ray connection: connects a run to Ray, and lays its scorers out on the cluster."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.runtime import cluster
from pipeline.scan.settings import DetectorSettings

WAITING = ("OMP_WAIT_POLICY", "PASSIVE")
"""Inherited by the workers of a local Ray: threads of a scorer sleep while they wait for one another, since what reads,
prepares and scores has more threads than there are cores. On two cores a scan is a tenth faster so,
and half as fast again where its detector costs next to nothing (docs/performance.md)."""


@contextmanager
def connected(settings: DetectorSettings) -> Iterator[cluster.Layout]:
    """Connect to Ray, and lay out the scorers on it.

    Args:
        settings: which cluster, and how the detector runs there.

    Yields:
        Scorers, batch size and cores of the cluster.

    Raises:
        SettingsError: there is no such cluster, or it lacks what the settings ask for.
        MoleError: an error of a worker, as it was raised there.
    """
    os.environ.setdefault(*WAITING)
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.unwrapped_errors(),
    ):
        yield cluster.plan_layout(
            settings.device,
            actors=settings.num_actors,
            batch_size=settings.batch_size,
            rows_per_file=settings.rows_per_file,
            resource=settings.score_resource,
        )
