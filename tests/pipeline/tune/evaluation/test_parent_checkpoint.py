"""Laws of the origin of a version."""

from pathlib import Path
from typing import Any

import pytest

from mole.config import CONFIG, CheckpointConfig, Description, describe
from mole.errors import ModelError
from pipeline.registry import Registry
from pipeline.tune.evaluation.parent_checkpoint import origin_at, origin_of
from tests.tiny import tiny_checkpoint


def says(folder: Path, provenance: dict[str, Any]) -> Description:
    """Let a checkpoint say where it comes from."""
    config = CheckpointConfig.model_validate_json((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(config.model_copy(update={"provenance": provenance}).model_dump_json())
    return describe(folder)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "parent", seed=1)


@pytest.fixture
def models(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "models"))


def test_a_parent_is_found_in_the_registry(parent: Path, models: Registry, tmp_path: Path) -> None:
    digest = models.add(parent, {})
    found = origin_of(says(tiny_checkpoint(tmp_path / "child", seed=2), {"parent": digest}), models)
    assert found is not None and (found.digest, found.model) == (digest, models.version(digest))


def test_a_parent_is_found_where_the_training_took_it_from_and_only_while_it_is_the_same(
    parent: Path, models: Registry, tmp_path: Path
) -> None:
    told = {"parent": describe(parent).digest, "recipe": {"base": str(parent), "init_from": None}}
    child = says(tiny_checkpoint(tmp_path / "child", seed=2), told)
    found = origin_of(child, models)
    assert found is not None and found.digest == told["parent"]
    says(parent, {"changed": "by hand"})
    assert origin_of(child, models) is None


def test_a_version_that_names_no_parent_began_from_the_shipped_detector(parent: Path, models: Registry) -> None:
    found = origin_of(describe(parent), models)
    assert found is not None and found.digest == origin_at("embedded").digest


def test_a_place_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        origin_at(str(tmp_path))
