"""A cluster of three nodes on this machine: a head that does nothing, one that prepares, one that scores.

    python -m tests.nodes SOURCE OUTPUT MODEL

Scans, and prints the summary and on which node each step ran, as Ray's state API tells it, as JSON.
"""

import dataclasses
import json
import sys
from collections import defaultdict
from typing import Any

import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_actors, list_nodes, list_tasks

from pipeline.runtime import cluster
from pipeline.scan.flow import scan
from pipeline.scan.settings import ScanSettings
from pipeline.telemetry.terminal import ProgressDisplay

STORE = 256 << 20
ROLES: dict[str, dict[str, Any]] = {
    "head": {"num_cpus": 0},
    "prepare": {"num_cpus": 2},
    "score": {"num_cpus": 0, "resources": {"score": 1}},
}


def main(source: str, output: str, model: str) -> dict[str, Any]:
    """Run a scan on the three nodes, and find out where its steps ran."""
    cluster.quiet(logs=False)
    head, *others = ROLES.values()
    machines: Any = Cluster(
        initialize_head=True,
        head_node_args={**head, "include_dashboard": True, "dashboard_port": 0, "object_store_memory": STORE},
    )
    nodes = {"head": machines.head_node.node_id}
    for role, has in zip(list(ROLES)[1:], others, strict=True):
        nodes[role] = machines.add_node(**has, object_store_memory=STORE).node_id
    try:
        ray.init(address=machines.address, log_to_driver=False)
        settings = ScanSettings(source=[source], output=output, model=model, score_resource="score", rows_per_file=32)
        summary = scan(settings, ProgressDisplay(quiet=True))
        roles = {node: role for role, node in nodes.items()}
        ran: dict[str, set[str]] = defaultdict(set)
        for task in list_tasks(limit=10_000, filters=[("state", "=", "FINISHED")]):
            ran[task.name].update(roles[node] for node in [task.node_id] if node)
        for actor in list_actors(limit=1_000):
            ran[actor.class_name].add(roles[actor.node_id])
        alive = sum(node.state == "ALIVE" for node in list_nodes())
        return {
            "summary": dataclasses.asdict(summary),
            "alive": alive,
            "ran": {n: sorted(r) for n, r in ran.items() if r},
        }
    finally:
        ray.shutdown()
        machines.shutdown()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
