"""Attempt: how often a task of Ray was begun, since its workers or their machine died."""

from typing import Any

import ray

DEATHS = 2
"""Of the workers of one task, until its images are suspected."""


def is_poison_suspected() -> bool:
    """Return whether the workers of the task that runs here have died twice, so that its images are suspected.

    A task is begun again when its worker or its machine has died. How often that was has no public name in Ray.
    """
    worker: Any = ray._private.worker.global_worker
    return worker.connected and int(worker.core_worker.get_current_task_attempt_number()) >= DEATHS
