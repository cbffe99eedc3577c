"""What `kubectl apply -k` sends, made without kubectl: the part of kustomize that deploy/ uses, and nothing else of it."""

import copy
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

Resource = dict[str, Any]
LOCAL = "config.kubernetes.io/local-config"


class Strict(BaseModel):
    """Takes no unknown field, so that a misspelt one fails."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Image(Strict):
    """Where an image of that name is pulled from."""

    name: str
    newName: str
    newTag: str


class Source(Strict):
    """The value that is copied."""

    kind: str
    name: str
    fieldPath: str


class Select(Strict):
    """The resources that it is copied into."""

    kind: str


class Options(Strict):
    """Whether the field is made where it is missing; here it always is."""

    create: Literal[True]


class Target(Strict):
    """The fields that it is copied into."""

    select: Select
    fieldPaths: list[str]
    options: Options


class Replacement(Strict):
    """A value that is copied from one resource into others."""

    source: Source
    targets: list[Target]


class Patched(Strict):
    """The resource that a patch is for."""

    kind: str
    name: str


class Patch(Strict):
    """JSON patch operations, as text."""

    target: Patched
    patch: str


class Kustomization(Strict):
    """A kustomization.yaml."""

    apiVersion: Literal["kustomize.config.k8s.io/v1beta1", "kustomize.config.k8s.io/v1alpha1"]
    kind: Literal["Kustomization", "Component"]
    resources: list[str]
    components: list[str] = []
    images: list[Image] = []
    replacements: list[Replacement] = []
    patches: list[Patch] = []


def rendered(folder: Path) -> list[Resource]:
    """Make the resources of a kustomization, in the order of their files."""
    return [resource for resource in _layer(folder, []) if LOCAL not in resource["metadata"].get("annotations", {})]


def _layer(folder: Path, below: list[Resource]) -> list[Resource]:
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    layer = Kustomization.model_validate(yaml.safe_load(text))
    resources = below + [yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in layer.resources]
    for name in layer.components:
        resources = _layer(folder / name, resources)
    for patch in layer.patches:
        _apply(patch, resources)
    for image in layer.images:
        _name(image, resources)
    for replacement in layer.replacements:
        _copy(replacement, resources)
    return resources


def _apply(patch: Patch, resources: list[Resource]) -> None:
    for operation in yaml.safe_load(patch.patch):
        assert operation["op"] == "replace"
        place: Any = _named(resources, patch.target.kind, patch.target.name)
        *road, last = [int(step) if step.isdigit() else step for step in operation["path"].split("/")[1:]]
        for step in road:
            place = place[step]
        assert last in place, f"{operation['path']} is not there to be replaced"
        place[last] = operation["value"]


def _name(image: Image, below: Any) -> None:
    values = below.values() if isinstance(below, dict) else below if isinstance(below, list) else ()
    for container in below.get("containers", ()) if isinstance(below, dict) else ():
        if container["image"] == image.name:
            container["image"] = f"{image.newName}:{image.newTag}"
    for value in values:
        _name(image, value)


def _copy(replacement: Replacement, resources: list[Resource]) -> None:
    source = _named(resources, replacement.source.kind, replacement.source.name)
    for target in replacement.targets:
        for resource in (one for one in resources if one["kind"] == target.select.kind):
            for path in target.fieldPaths:
                *road, last = path.split(".")
                place = resource
                for step in road:
                    place = place[step]
                place[last] = copy.deepcopy(source[replacement.source.fieldPath])


def _named(resources: list[Resource], kind: str, name: str) -> Resource:
    (found,) = (one for one in resources if one["kind"] == kind and one["metadata"]["name"] == name)
    return found
