"""What a PromQL expression asks for, what an exporter's text has, and the expressions of the dashboard and the alerts."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggModifierType, AggregateExpr, BinaryExpr, Expr, VectorSelector
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

Labels = Mapping[str, set[str]]
"""Of each metric, labels."""
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}
"""What Grafana writes into an expression before Prometheus reads it."""
OF_GPUS = {f"ray_{name}" for name in METRICS_GAUGES if "gpu" in name or "gram" in name}
"""What Ray exports of machines that have a GPU, by its own list."""
TAGS_OF_GPUS = {"ip", "GpuIndex"}


def asked(expression: str) -> Labels:
    """Tell which metrics an expression names, and by which of their labels it chooses, sums or joins."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    found: dict[str, set[str]] = defaultdict(set)
    around: list[set[str]] = []

    def enter(node: Expr) -> None:
        around.append(_labels(node))
        if isinstance(node, VectorSelector):
            found[str(node.name)] |= {one.name for one in node.matchers.matchers}.union(*around)

    def leave(_: Expr) -> None:
        around.pop()

    promql_parser.walk(promql_parser.parse(expression), enter, leave)
    return found


def _labels(node: Expr) -> set[str]:
    if isinstance(node, AggregateExpr) and node.modifier is not None:
        assert node.modifier.type == AggModifierType.By, "labels of Ray come and go: name those that stay"
        return set(node.modifier.labels)
    if isinstance(node, BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
        return set(node.modifier.matching.labels)
    return set()


def served(text: str) -> tuple[Labels, list[Any]]:
    """Read what an exporter serves: the labels of each metric, and every sample."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        labels[sample.name] |= set(sample.labels)
    return labels, samples


def dashboard(root: Path) -> dict[str, Any]:
    """Read the dashboard."""
    return dict(json.loads((root / "deploy/grafana/dashboards/mole-scan.json").read_text(encoding="utf-8")))


def alerts(root: Path) -> list[dict[str, Any]]:
    """Read the alerts."""
    groups = yaml.safe_load((root / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each panel and alert, and an expression of it."""
    for panel in dashboard(root)["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for rule in alerts(root):
        yield rule["alert"], rule["expr"]
