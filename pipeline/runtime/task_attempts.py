"""Task attempts: how often Ray has restarted the current task after its workers died."""

import sys
from typing import Any

SUSPECT_AFTER = 2
"""Worker deaths of one task after which one of its images is suspected to crash its decoder."""


def is_poison_suspected() -> bool:
    """Return whether workers of the current task have died twice, so that an image may be crashing its decoder.

    Ray restarts a task when its worker or machine dies. The attempt number is not part of Ray's public API.
    """
    ray: Any = sys.modules.get("ray")
    if ray is None:
        return False
    worker: Any = ray._private.worker.global_worker
    return worker.connected and int(worker.core_worker.get_current_task_attempt_number()) >= SUSPECT_AFTER
