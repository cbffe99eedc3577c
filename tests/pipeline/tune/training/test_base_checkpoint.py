"""Laws of the base of a training: an existing checkpoint, or one created on a tower."""

import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from mole.config import describe
from mole.errors import ModelError, SettingsError
from mole.tower.hub import architecture_of, views_of
from pipeline import registry
from pipeline.registry import Registry
from pipeline.tune.training.base_checkpoint import base_checkpoint, starting_checkpoint
from pipeline.tune.training.settings import FinetuneSettings
from pipeline.tune.training.training_run import detector_of
from tests.timms import weights
from tests.tiny import tiny_checkpoint

DINO = "vit_tiny_patch16_dinov3_qkvb"


def settings(**more: Any) -> FinetuneSettings:
    return FinetuneSettings(samples=["s"], registry="models", **more)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The drawn weights of the smallest DINOv3."""
    save_file(
        {key: tensor.clone() for key, tensor in weights(architecture_of(DINO)).items()}, tmp_path / "w.safetensors"
    )
    return str(tmp_path / "w.safetensors")


def test_training_begins_from_a_version_a_folder_or_what_a_registry_promotes(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    place = Registry(str(tmp_path / "models"))
    digest = place.add(folder, {})
    place.promote(digest, "first", replacing=None)
    for given in (settings(init_from=digest), settings(init_from=str(folder)), settings(base=place.url)):
        where, base = starting_checkpoint(given, place)
        assert base.digest == describe(registry.locate(where, digest)).digest == digest
    with pytest.raises(SettingsError, match=f"--init-from continues with the tower.* of {digest}; leave out --view$"):
        starting_checkpoint(settings(init_from=digest, view="crop"), place)


def test_a_base_on_a_tower_is_found_again_by_every_machine_and_is_no_version(tmp_path: Path, file: str) -> None:
    place = Registry(str(tmp_path / "models"))
    given = settings(base_tower=DINO, pretrained=file)
    where, base = starting_checkpoint(given, place)
    assert starting_checkpoint(given, place) == (where, base)
    assert registry.locate(where, base.digest) == base.folder and (base.folder / "tower.safetensors").is_file()
    assert place.digests() == [] and place.promoted() is None


def test_adapters_that_are_gone_on_from_keep_their_tower(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    given = settings(init_from=str(folder), base_tower=DINO, pretrained="eupe_lvd1689m")
    with pytest.raises(SettingsError, match="--init-from continues with the tower.*; leave out --base-tower$"):
        starting_checkpoint(given, Registry(str(tmp_path / "models")))


def test_a_tower_that_cannot_be_begun_on_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'convnextv2_atto' is timm's ConvNeXt"):
        base_checkpoint(settings(base_tower="convnextv2_atto", pretrained="fcmae"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_recipes_of_the_page_are_settings_for_towers_that_experts_can_stand_in(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "backbones.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(recipes) == 2
    for number, recipe in enumerate(recipes):
        file = tmp_path / f"{number}.toml"
        file.write_text(recipe, encoding="utf-8")
        given = ["--config", str(file), "--samples", "s", "--registry", "r"]
        read = FinetuneSettings.from_command_line(given)
        assert read.base_tower is not None and read.pretrained is not None
        shape = architecture_of(read.base_tower)
        views_of(read.base_tower, read.pretrained, shape)
        base = describe(tiny_checkpoint(tmp_path / f"tiny{number}"))
        assert detector_of(read, base).reads[-1] <= shape.layers
