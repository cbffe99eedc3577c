"""What lies in deploy/ is what Kubernetes, KubeRay and Ray take, and its commands are ones that the jobs take."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from kubernetes_validate import ValidationError as KubernetesError
from pydantic import ValidationError as ModelError
from ray.autoscaler._private.util import prepare_config, validate_config

from mole.errors import SettingsError
from pipeline.command.settings import JobSettings
from pipeline.scan.settings import RescanSettings, ScanSettings
from pipeline.tune.training.settings import FinetuneSettings
from tests.kuberay import JobSpec, RayCronJob, RayJob, WorkerGroup, cron, valid
from tests.kustomized import Resource, rendered

HOME = "/srv/mole-scan"
FOLDERS = ("once", "schedules")
SETTINGS: dict[str, type[JobSettings]] = {"scan": ScanSettings, "rescan": RescanSettings, "finetune": FinetuneSettings}


@pytest.fixture
def resources(root: Path) -> list[Resource]:
    """All that is applied."""
    return [resource for folder in FOLDERS for resource in rendered(root / "deploy/kubernetes" / folder)]


@pytest.fixture
def runs(resources: list[Resource]) -> dict[str, JobSpec]:
    """Each run by its name, checked."""
    once = [RayJob.model_validate(one) for one in resources if one["kind"] == "RayJob"]
    often = [RayCronJob.model_validate(one) for one in resources if one["kind"] == "RayCronJob"]
    return {one.metadata.name: one.spec for one in once} | {one.metadata.name: one.spec.jobTemplate for one in often}


@pytest.fixture
def gcp(root: Path) -> dict[str, Any]:
    """The cluster of GCP as `ray up` fills it out before it starts a machine."""
    return dict(prepare_config(yaml.safe_load((root / "deploy/gcp/cluster.yaml").read_text(encoding="utf-8"))))


def settings_of(run: JobSpec) -> JobSettings:
    """Read a run's command line as its job does."""
    python, job, *flags = shlex.split(run.entrypoint)
    assert python == "python"
    return SETTINGS[Path(job).stem].from_command_line(flags)


def pods(run: JobSpec) -> list[dict[str, Any]]:
    """The head's and each worker group's pod."""
    cluster = run.rayClusterSpec
    return [cluster.headGroupSpec.template["spec"], *(group.template["spec"] for group in cluster.workerGroupSpecs)]


def spot_keys(pod: dict[str, Any], operator: str) -> set[str]:
    """The node labels by which a pod is kept on, or off, spot machines."""
    chosen = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return {one["key"] for term in chosen for one in term["matchExpressions"] if one["operator"] == operator}


def test_one_scan_and_three_schedules_and_their_account(runs: dict[str, JobSpec], resources: list[Resource]) -> None:
    assert set(runs) == {"scan", "scan-nightly", "rescan", "training"}
    accounts = [one for one in resources if one["kind"] == "ServiceAccount"]
    assert len(accounts) == len(FOLDERS) and len(resources) == len(runs) + len(accounts)
    for account in accounts:
        valid(account)
    assert all(
        pod["serviceAccountName"] == accounts[0]["metadata"]["name"] for run in runs.values() for pod in pods(run)
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubectl_makes_the_same_of_it(root: Path, folder: str) -> None:
    made = subprocess.run(
        ["kubectl", "kustomize", str(root / "deploy/kubernetes" / folder)], check=True, capture_output=True
    )
    theirs = {one["metadata"]["name"] + one["kind"]: one for one in yaml.safe_load_all(made.stdout)}
    ours = {one["metadata"]["name"] + one["kind"]: one for one in rendered(root / "deploy/kubernetes" / folder)}
    assert theirs == ours


BREAKS: dict[str, tuple[str, Any]] = {
    "a field that only Kubernetes' own CronJob has": ("concurrencyPolicy", "Forbid"),
    "a misspelt field of a run": ("jobTemplate.backOffLimit", 0),
    "a number as text": ("jobTemplate.activeDeadlineSeconds", "3600"),
    "a misspelt field of a group": ("jobTemplate.rayClusterSpec.workerGroupSpecs.0.maxReplica", 3),
    "more replicas than the most": ("jobTemplate.rayClusterSpec.workerGroupSpecs.1.replicas", 99),
    "a start parameter that is no text": ("jobTemplate.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
    "a misspelt field of a pod": (
        "jobTemplate.rayClusterSpec.headGroupSpec.template.spec.serviceAcountName",
        "mole-scan",
    ),
    "a field of a container of another type": (
        "jobTemplate.rayClusterSpec.workerGroupSpecs.1.template.spec.containers.0.image",
        7,
    ),
    "an unknown field of a toleration": (
        "jobTemplate.rayClusterSpec.workerGroupSpecs.0.template.spec.tolerations.0.values",
        [],
    ),
    "a sixth cron field": ("schedule", "0 0 1 * * *"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_misspelt_field_or_a_wrong_type_is_refused(resources: list[Resource], broken: str) -> None:
    job = next(one for one in resources if one["metadata"]["name"] == "rescan")
    RayCronJob.model_validate(job)
    path, value = BREAKS[broken]
    *road, last = path.split(".")
    place = job["spec"]
    for step in road:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    with pytest.raises(ModelError, match=last):
        RayCronJob.model_validate(job)


def test_a_misspelt_field_of_the_account_is_refused(resources: list[Resource]) -> None:
    account = next(one for one in resources if one["kind"] == "ServiceAccount")
    with pytest.raises(KubernetesError):
        valid(account | {"anotations": {}})


@pytest.mark.parametrize("expression", ["0 1 * * *", "0 */4 * * *", "0 3 * * 0", "5,35 8-18/2 1 * 1-5"])
def test_a_cron_expression_parses(expression: str) -> None:
    assert cron(expression) == expression


@pytest.mark.parametrize(
    "expression", ["0 1 * *", "60 1 * * *", "0 3 * * 7", "0 5-2 * * *", "0 */0 * * *", "x * * * *"]
)
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"five fields|is not within|invalid literal"):
        cron(expression)


def test_every_command_is_one_that_its_job_takes(runs: dict[str, JobSpec], root: Path) -> None:
    for run in runs.values():
        job = Path(shlex.split(run.entrypoint)[1])
        assert (root / job.relative_to(HOME)).is_file()
        assert settings_of(run).model_fields_set
    runs["rescan"].entrypoint += " --num-actor 2"
    with pytest.raises((SystemExit, SettingsError)):
        settings_of(runs["rescan"])


def test_a_runs_gpus_are_up_before_it_asks_for_them(runs: dict[str, JobSpec]) -> None:
    for run in runs.values():
        groups = run.rayClusterSpec.workerGroupSpecs
        asked = settings_of(run)
        wanted = asked.workers if isinstance(asked, FinetuneSettings) else getattr(asked, "num_actors", None)
        assert wanted and sum(group.gpus for group in groups) >= wanted
        scorers = [group for group in groups if group.gpus]
        assert all(group.minReplicas == group.replicas == group.maxReplicas for group in scorers)


def test_the_head_stays_and_does_no_work_and_all_others_are_spot(runs: dict[str, JobSpec]) -> None:
    for run in runs.values():
        head, *workers = pods(run)
        assert run.rayClusterSpec.headGroupSpec.rayStartParams["num-cpus"] == "0"
        assert "tolerations" not in head and spot_keys(head, "In") == set()
        assert all(spot_keys(worker, "In") == spot_keys(head, "NotIn") for worker in workers)
        assert all({one["key"] for one in worker["tolerations"]} >= {"cloud.google.com/gke-spot"} for worker in workers)
        assert all(pod["restartPolicy"] == "Never" for pod in pods(run))


def test_every_container_gets_what_it_asks_for_and_no_more(runs: dict[str, JobSpec]) -> None:
    for run in runs.values():
        containers = [container for pod in pods(run) for container in pod["containers"]]
        assert all(one["resources"]["requests"] == one["resources"]["limits"] for one in containers)
        assert len({one["image"] for one in containers}) == 1
        autoscaler = run.rayClusterSpec.autoscalerOptions.resources
        assert autoscaler.requests == autoscaler.limits


def test_nothing_outlives_its_run_or_meets_its_own_next_turn(
    resources: list[Resource], runs: dict[str, JobSpec]
) -> None:
    assert all(run.shutdownAfterJobFinishes and run.ttlSecondsAfterFinished <= 600 for run in runs.values())
    turns = {"scan-nightly": 24, "rescan": 4, "training": 7 * 24}
    assert {one["metadata"]["name"] for one in resources if one["kind"] == "RayCronJob"} == set(turns)
    assert all(runs[name].activeDeadlineSeconds < 3600 * hours for name, hours in turns.items())


def test_only_the_account_opens_a_store(root: Path) -> None:
    files = [path for path in (root / "deploy").rglob("*") if path.is_file()]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?i)secret_?(access_?)?key|AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE|kind: Secret", text), (
            path
        )


def test_the_image_has_the_constraints_and_the_files_and_the_ray_of_the_manifests(
    root: Path, runs: dict[str, JobSpec]
) -> None:
    lines = (root / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    assert f"WORKDIR {HOME}" in lines and "FROM python:3.11-slim-bookworm" in lines
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    kept = (root / "deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert {f"!{name}" for name in copied} == {line for line in kept if line.startswith("!")}
    assert all((root / name).exists() for name in copied)
    assert {"jobs", "mole", "pipeline", "constraints.txt"} <= set(copied)
    assert any("--constraint constraints.txt --requirement pyproject.toml" in line for line in lines)
    pinned = (root / "constraints.txt").read_text(encoding="utf-8").split()
    assert all(f"ray=={run.rayClusterSpec.rayVersion}" in pinned for run in runs.values())


def test_the_image_runs_as_an_ordinary_user_whom_the_code_does_not_belong_to(root: Path) -> None:
    lines = (root / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["1000"] and lines[-1] == "USER 1000", "nothing is done as another user after it"
    assert any("useradd" in line and "--uid 1000" in line for line in lines)
    assert "sudo" not in " ".join(lines) and "chmod" not in " ".join(lines)
    assert not any("chown -R" in line or "chown --recursive" in line for line in lines)


def test_ray_takes_the_cluster_of_gcp(gcp: dict[str, Any]) -> None:
    validate_config(gcp)
    gcp["available_node_types"]["score"]["spot"] = True
    with pytest.raises(ValidationError, match="'spot' was unexpected"):
        validate_config(gcp)


def test_the_cluster_of_gcp_differs_from_that_of_aws_in_its_machines_alone(gcp: dict[str, Any], root: Path) -> None:
    aws = prepare_config(yaml.safe_load((root / "cluster.yaml").read_text(encoding="utf-8")))
    for one in (gcp, dict(aws)):
        for kind in one["available_node_types"].values():
            del kind["node_config"]
        del one["provider"], one["head_setup_commands"]
    assert gcp == {name: value for name, value in aws.items() if name in gcp}


def test_the_head_of_gcp_stays_and_all_others_are_spot(gcp: dict[str, Any]) -> None:
    machines = {name: kind["node_config"] for name, kind in gcp["available_node_types"].items()}
    fields = {"machineType", "serviceAccounts", "disks"}
    assert set(machines.pop("head")) == fields
    for machine in machines.values():
        assert set(machine) == fields | {"scheduling"}
        assert machine["scheduling"]["provisioningModel"] == "SPOT"
        assert machine["scheduling"]["onHostMaintenance"] == "TERMINATE"  # a GPU cannot move


def test_kubernetes_and_ray_up_start_machines_in_the_same_numbers(
    gcp: dict[str, Any], runs: dict[str, JobSpec]
) -> None:
    def bounds(group: WorkerGroup) -> tuple[int, int]:
        return group.minReplicas, group.maxReplicas

    kinds = gcp["available_node_types"]
    for group in runs["scan"].rayClusterSpec.workerGroupSpecs:
        assert bounds(group) == (kinds[group.groupName]["min_workers"], kinds[group.groupName]["max_workers"])
