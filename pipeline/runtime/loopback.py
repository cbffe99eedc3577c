"""Loopback: restricts a Ray that a command starts for itself to this machine's loopback address."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray._private import ray_constants
from ray._raylet import GcsClient  # type: ignore[attr-defined]

LOOPBACK = re.compile(r"(?:127(?:\.\d+){3}|localhost|::1)")
TIMEOUT = 10.0
"""Seconds within which a Ray must name its nodes."""


@contextmanager
def on_loopback(address: str) -> Iterator[None]:
    """Keep a local Ray that is started here on loopback, as Ray does on macOS; join one that is kept so.

    On Linux Ray would listen on every address of the machine, and whoever reaches its ports can run code. It has no
    setting for it: it turns 127.0.0.1 into the machine's own address, unless its clusters are disabled. A driver that
    has not disabled them would wait for ever for a node of that address.

    Args:
        address: `local`, or that of a Ray that runs.
    """
    if address != "local" and not is_kept_on_loopback(address):
        yield
        return
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    inherited = os.environ.get(variable)
    os.environ[variable] = "0"  # for Ray's own processes
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if inherited is None:
            del os.environ[variable]
        else:
            os.environ[variable] = inherited


def is_kept_on_loopback(address: str) -> bool:
    """Tell whether the nodes of a running Ray are reached on loopback alone.

    Args:
        address: of its GCS; that of a Ray client is left to Ray.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or not LOOPBACK.fullmatch(host.strip("[]")):
        return False
    nodes = GcsClient(address=address).get_all_node_info(timeout=TIMEOUT)
    return any(LOOPBACK.fullmatch(node.node_manager_address) for node in nodes.values())
