"""cluster.yaml is one that `ray up` takes, and places work where the design wants it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

Config = dict[str, Any]


@pytest.fixture
def prepared(root: Path) -> Config:
    """The file as `ray up` fills it out before it starts a machine."""
    return dict(prepare_config(yaml.safe_load((root / "cluster.yaml").read_text(encoding="utf-8"))))


def test_ray_takes_it(prepared: Config) -> None:
    validate_config(prepared)
    assert prepared["available_node_types"]["prepare"]["max_workers"] == 32


def test_rays_check_refuses_what_it_does_not_know(prepared: Config) -> None:
    prepared["available_node_types"]["score"]["spot"] = True
    with pytest.raises(ValidationError, match="'spot' was unexpected"):
        validate_config(prepared)


def test_the_head_stays_and_does_no_work_and_all_others_are_spot(prepared: Config) -> None:
    kinds = prepared["available_node_types"]
    head = kinds.pop(prepared["head_node_type"])
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert all(kind["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot" for kind in kinds.values())
    assert [name for name, kind in kinds.items() if kind["resources"].get("GPU")] == ["score"]


def test_the_kinds_together_stay_below_the_clusters_bound(prepared: Config) -> None:
    kinds = prepared["available_node_types"]
    workers = [kind for name, kind in kinds.items() if name != prepared["head_node_type"]]
    assert sum(kind["min_workers"] for kind in workers) <= prepared["max_workers"]
    assert sum(kind["max_workers"] for kind in workers) == prepared["max_workers"]
    assert all(kind["labels"]["role"] == name for name, kind in kinds.items())


def test_every_machine_installs_the_projects_own_constraints(prepared: Config, root: Path) -> None:
    assert prepared["file_mounts"] == {"~/mole-scan": "."}
    for name in ("prepare", "score"):
        commands = prepared["available_node_types"][name].get(
            "worker_setup_commands", prepared["worker_setup_commands"]
        )
        assert any("--constraint ~/mole-scan/constraints.txt ~/mole-scan" in command for command in commands)
    assert any(
        "--constraint ~/mole-scan/constraints.txt ~/mole-scan" in line for line in prepared["head_setup_commands"]
    )
    assert (root / "constraints.txt").is_file()
