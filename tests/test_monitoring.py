"""The dashboard is one that Grafana reads, each alert fires and is silent when it should, and all of it is explained.

That both ask for nothing but what Ray's exporter serves is held by tests/jobs/test_submit.py, before a real one.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from pipeline.telemetry.metrics import METRICS
from tests.kustomized import rendered
from tests.promql import OF_GPUS, TAGS_OF_GPUS, alerts, asked, dashboard, expressions

WIDTH = 24  # columns of a dashboard
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on this machine: apt-get install prometheus"
)


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_grafanas_own_types_know_every_field_of_the_dashboard(root: Path) -> None:
    register_default_plugins()

    def again(raw: dict[str, Any]) -> Any:
        """Read a dashboard as Grafana's types, which drop what they do not know, and write it."""
        return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(raw)))

    raw = dashboard(root)
    assert lost(raw, again(raw)) == []
    raw["panels"][0]["fieldConfig"]["defaults"]["unitt"] = "s"
    assert lost(raw, again(raw)) == ["/panels/0/fieldConfig/defaults/unitt"]


def lost(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Find what stands in a document and not, or otherwise, in another."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        both = [lost(value, theirs.get(name, ...), f"{path}/{name}") for name, value in ours.items()]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        both = [lost(a, b, f"{path}/{place}") for place, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return [] if ours == theirs else [path]
    return [each for found in both for each in found]


def test_panels_have_names_and_words_and_do_not_overlap(root: Path) -> None:
    panels = dashboard(root)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= WIDTH
        taken |= cells
        assert panel["title"] and (panel["type"] == "row" or (panel["description"] and panel["targets"]))


def test_each_metric_is_shown_and_explained_and_each_alert_says_what_to_do(root: Path) -> None:
    manual = (root / "docs/operations.md").read_text(encoding="utf-8")
    shown = {OF_HISTOGRAMS.sub("", name) for _, expression in expressions(root) for name in asked(expression)}
    for metric in METRICS:
        assert metric.exported in shown and f"`{metric.name}`" in manual, metric.name
    for rule in alerts(root):
        assert f"`{rule['alert']}`" in manual and rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_no_expression_asks_our_metrics_for_a_label_that_is_not_declared(root: Path) -> None:
    tags = {metric.exported: {*metric.tags, "le"} for metric in METRICS} | dict.fromkeys(OF_GPUS, TAGS_OF_GPUS)
    for where, expression in expressions(root):
        for name, labels in asked(expression).items():
            assert labels <= tags.get(OF_HISTOGRAMS.sub("", name), labels), (where, name)
            assert OF_HISTOGRAMS.sub("", name) in tags or not name.startswith("ray_mole_scan_"), (where, name)
    assert asked("sum by (colour) (rate(ray_mole_scan_images_total[5m]))") == {"ray_mole_scan_images_total": {"colour"}}


@promtool
def test_promtool_takes_the_rules_and_the_scrape_config(root: Path) -> None:
    told = tool("check", "rules", str(root / "deploy/prometheus/alerts.yaml"))
    assert told.returncode == 0 and f"{len(alerts(root))} rules found" in told.stdout
    told = tool("check", "config", str(root / "deploy/prometheus/prometheus.yaml"))
    assert told.returncode == 0, told.stdout + told.stderr


@promtool
def test_each_alert_fires_where_it_should_and_not_beside_that(root: Path, tmp_path: Path) -> None:
    told = tool("test", "rules", str(root / "deploy/prometheus/alerts_test.yaml"))
    assert told.returncode == 0, told.stdout + told.stderr
    tried = [
        case for test in read(root / "deploy/prometheus/alerts_test.yaml")["tests"] for case in test["alert_rule_test"]
    ]
    for rule in alerts(root):
        outcomes = {bool(case["exp_alerts"]) for case in tried if case["alertname"] == rule["alert"]}
        assert outcomes == {True, False}, rule["alert"]
    rules, tests = ((root / "deploy/prometheus" / name).read_text() for name in ("alerts.yaml", "alerts_test.yaml"))
    (tmp_path / "alerts.yaml").write_text(rules.replace("> 40", "> 70"))
    of_leases = [test for test in yaml.safe_load(tests)["tests"] if "lease that is not renewed" in test["name"]]
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": of_leases}))
    assert "MoleScanLeaseOld" in tool("test", "rules", str(tmp_path / "broken.yaml")).stderr


def test_grafana_is_told_where_the_dashboard_and_prometheus_are(root: Path) -> None:
    folder = root / "deploy/grafana/provisioning"
    dashboards, sources = (read(folder / kind / "mole-scan.yaml") for kind in ("dashboards", "datasources"))
    assert dashboards["apiVersion"] == sources["apiVersion"] == 1
    [provider], [source] = dashboards["providers"], sources["datasources"]
    assert provider["type"] == "file" and Path(provider["options"]["path"]).is_absolute()
    interval = read(root / "deploy/prometheus/prometheus.yaml")["global"]["scrape_interval"]
    assert source["type"] == "prometheus" and source["jsonData"]["timeInterval"] == interval
    [variable, *_] = dashboard(root)["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")


def test_on_kubernetes_every_pod_is_scraped_at_the_port_that_kuberay_opens(root: Path) -> None:
    monitor = read(root / "deploy/prometheus/podmonitor.yaml")
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "metrics"
    for job in rendered(root / "deploy/kubernetes/once"):
        if job["kind"] == "RayJob":  # no port of a pod is named, so KubeRay adds its own, this one among them
            cluster = job["spec"]["rayClusterSpec"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                assert "metrics-export-port" not in group["rayStartParams"]
                assert not any("ports" in one for one in group["template"]["spec"]["containers"])
