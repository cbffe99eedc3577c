"""KubeRay's `ray.io/v1`, as far as deploy/ uses it: a field or a type that stands nowhere here is refused.

Source: the field reference of KubeRay v1.7.0 (ray-project/kuberay, docs/reference/api.md of commit
97509c3a7216cf3440af381646560a1885afb53b), and what the operator itself refuses (controllers/ray/utils/validation.go).
Fields that v1.6.0 does not have, such as `timeZone`, are left out on purpose: both versions take our files.
"""

from typing import Annotated, Any, Literal, Self

import kubernetes_validate
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

KUBERNETES = "1.33"
"""Whose schema the parts that are Kubernetes' own are held to."""
CRON_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""Minute, hour, day, month, day of the week, as the operator's parser has them: Sunday is 0 and never 7."""


def valid(resource: dict[str, Any]) -> dict[str, Any]:
    """Hold a resource to Kubernetes' own schema, unknown fields refused.

    Raises:
        kubernetes_validate.ValidationError: a field is unknown, missing or of another type.
    """
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    return resource


def _pod_template(template: dict[str, Any]) -> dict[str, Any]:
    try:
        valid({"apiVersion": "v1", "kind": "PodTemplate", "template": template})
    except kubernetes_validate.ValidationError as reason:
        raise ValueError(f"{'.'.join(map(str, reason.path))}: {reason.message}") from reason
    return template


def cron(expression: str) -> str:
    """Refuse what is no five-field cron expression of numbers, ranges, lists and steps."""
    fields = expression.split()
    if len(fields) != len(CRON_BOUNDS):
        raise ValueError(f"a cron expression has five fields, got {expression!r}")
    for field, (low, high) in zip(fields, CRON_BOUNDS, strict=True):
        for part in field.split(","):
            span, _, step = part.partition("/")
            ends = [low, high] if span == "*" else [int(end) for end in span.split("-")]
            if not (low <= ends[0] <= ends[-1] <= high and len(ends) <= 2 and int(step or 1) >= 1):
                raise ValueError(f"{part!r} of {expression!r} is not within {low} to {high}")
    return expression


PodTemplate = Annotated[dict[str, Any], AfterValidator(_pod_template)]
Quantities = dict[str, str]


class Strict(BaseModel):
    """Takes no unknown field and converts no type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    """Of a resource; names become labels and parts of the names of pods."""

    name: Annotated[str, Field(pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=36)]
    annotations: dict[str, str] = {}


class Resources(Strict):
    """Of the autoscaler's container."""

    requests: Quantities
    limits: Quantities


class AutoscalerOptions(Strict):
    """How idle pods are given back."""

    idleTimeoutSeconds: NonNegativeInt
    resources: Resources


class AuthOptions(Strict):
    """Who may speak to Ray."""

    mode: Literal["disabled", "token"]


class HeadGroup(Strict):
    """The head's pod."""

    rayStartParams: dict[str, str]
    template: PodTemplate


class WorkerGroup(Strict):
    """Pods of one kind."""

    groupName: str
    replicas: NonNegativeInt
    minReplicas: NonNegativeInt
    maxReplicas: NonNegativeInt
    rayStartParams: dict[str, str]
    template: PodTemplate

    @property
    def gpus(self) -> int:
        """GPUs of all pods that are up before the run starts."""
        limits = self.template["spec"]["containers"][0]["resources"]["limits"]
        return self.minReplicas * int(limits.get("nvidia.com/gpu", 0))

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if not self.minReplicas <= self.replicas <= self.maxReplicas:
            raise ValueError(
                f"{self.groupName}: replicas must lie in [{self.minReplicas}, {self.maxReplicas}], got {self.replicas}"
            )
        return self


class ClusterSpec(Strict):
    """The cluster of a run."""

    rayVersion: str
    enableInTreeAutoscaling: bool
    autoscalerOptions: AutoscalerOptions
    authOptions: AuthOptions
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]


class JobSpec(Strict):
    """A run: its command and how long it and its cluster may live."""

    entrypoint: Annotated[str, Field(min_length=1)]
    backoffLimit: NonNegativeInt
    preRunningDeadlineSeconds: PositiveInt
    activeDeadlineSeconds: PositiveInt
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: NonNegativeInt
    rayClusterSpec: ClusterSpec

    @model_validator(mode="after")
    def _time_to_live(self) -> Self:
        if self.ttlSecondsAfterFinished and not self.shutdownAfterJobFinishes:
            raise ValueError("ttlSecondsAfterFinished needs shutdownAfterJobFinishes: true")
        return self


class CronJobSpec(Strict):
    """A run and its times; there is no concurrencyPolicy, and the template has no metadata of its own."""

    schedule: Annotated[str, AfterValidator(cron)]
    suspend: bool = False
    jobTemplate: JobSpec


class RayJob(Strict):
    """Runs once."""

    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


class RayCronJob(Strict):
    """Runs again and again."""

    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCronJob"]
    metadata: Metadata
    spec: CronJobSpec
