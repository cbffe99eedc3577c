"""Ray state: tells whether this process is connected to Ray without importing Ray, which takes a second."""

import sys


def is_connected() -> bool:
    """Tell whether this process is connected to Ray; it is not where nothing has imported Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
