"""Laws of a checkpoint on a tower that nothing was trained on: it is the same each time, and sees what its tower saw."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mole.checkpoint import load_checkpoint
from mole.config import describe
from mole.errors import ModelError
from mole.tower.backbone import tower_digest
from mole.tower.hub import architecture_of
from mole.tower.vit import Tower
from mole.untrained import create_untrained
from tests.timms import weights

PE, DINO = "PE-Core-T-16-384", "vit_tiny_patch16_dinov3_qkvb"


def drawn(name: str) -> dict[str, Tensor]:
    """Draw the weights of a tower, by timm's names."""
    return {key: tensor.clone() for key, tensor in weights(architecture_of(name)).items()}


@pytest.mark.parametrize(("name", "side", "mean"), [(PE, 384, (0.5, 0.5, 0.5)), (DINO, 256, (0.485, 0.456, 0.406))])
def test_it_sees_the_views_of_its_tower_and_its_experts_change_nothing(
    name: str, side: int, mean: tuple[float, ...], tmp_path: Path
) -> None:
    save_file(drawn(name), tmp_path / "w.safetensors")
    begun = create_untrained(tmp_path / "base", name, str(tmp_path / "w.safetensors"))
    spec = begun.preprocess
    assert (spec.name, spec.size, spec.short_side, spec.mean) == ("resize", side, side, mean)
    loaded = load_checkpoint(begun.folder)
    backbone = loaded.description.config.backbone
    assert backbone.sha256 is not None and backbone.architecture == architecture_of(name)
    view_13SS = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        feature_BF, _ = loaded.detector.feature(loaded.detector.trunk(view_13SS))
        plain = load_checkpoint(begun.folder).detector.tower.eval()
        token_BTD = plain.embed(view_13SS)
        for block in plain.transformer.resblocks:
            frozen = getattr(block, "frozen", block)
            token_BTD = frozen(token_BTD)
        assert torch.equal(feature_BF, plain.read(token_BTD))


def test_the_same_tower_gives_the_same_checkpoint_and_draws_nothing_from_others(tmp_path: Path) -> None:
    save_file(drawn(DINO), tmp_path / "w.safetensors")
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = create_untrained(tmp_path / "first", DINO, str(tmp_path / "w.safetensors"))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    assert create_untrained(tmp_path / "second", DINO, str(tmp_path / "w.safetensors")).digest == first.digest
    assert (
        describe(tmp_path / "first").config.licence
        == "adapters and head: Apache-2.0; tower: fair-noncommercial-research-license"
    )


def test_a_clip_tower_begins_so_too_and_its_digest_is_that_of_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {
        key: torch.randn_like(tensor) * 0.05 for key, tensor in Tower(architecture_of("ViT-S-32")).state_dict().items()
    }
    torch.save({"state_dict": {f"visual.{key}": tensor for key, tensor in state.items()}}, tmp_path / "clip.pt")
    begun = create_untrained(tmp_path / "base", "ViT-S-32", str(tmp_path / "clip.pt"))
    assert begun.config.backbone.file == "tower.pt"
    assert begun.config.backbone.sha256 == tower_digest(state)
    assert load_checkpoint(begun.folder).detector.config == begun.config.detector


def test_a_tower_that_ends_at_a_block_is_read_there(tmp_path: Path) -> None:
    whole = Tower(architecture_of("ViT-S-32")).state_dict()
    ended = ("ln_post", "proj", *(f"transformer.resblocks.{number}." for number in range(5, 12)))
    save_file({key: tensor for key, tensor in whole.items() if not key.startswith(ended)}, tmp_path / "cut.safetensors")
    begun = create_untrained(tmp_path / "base", "ViT-S-32", str(tmp_path / "cut.safetensors"))
    assert begun.config.detector.reads == (5,)
    assert load_checkpoint(begun.folder).detector.depth == 5


@pytest.mark.parametrize(("name", "source"), [("resnet50", "a1_in1k"), (DINO, "lvd0"), (PE, "w.safetensors")])
def test_what_cannot_be_begun_on_leaves_no_checkpoint(name: str, source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=source if name != "resnet50" else name):
        create_untrained(tmp_path / "base", name, source)
    assert not (tmp_path / "base").exists()
