"""Laws of heat maps: the parts and the rest are the logit, whatever the model; they lie where the views do."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from mole.block import AdaptedBlock
from mole.checkpoint import Checkpoint, load_checkpoint, tower_of
from mole.detector import MoLE
from mole.heatmap import heat_map, heat_maps, read_by_class, split_logits
from mole.inference import PanelOfOne
from mole.preprocess import Preprocess
from mole.tower import Block, normalise
from tests.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> Checkpoint:
    """A tiny detector; its patches are 32 pixels wide, 7 x 7 of them."""
    return load_checkpoint(tiny)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_parts_and_rest_are_the_logit(loaded: Checkpoint) -> None:
    views = drawn(3, 3, 224, 224)
    part_VP, rest_V = split_logits(loaded.detector, normalise(torch.from_numpy(views), loaded.preprocess))
    logits = PanelOfOne(loaded, "cpu", precision="float32").score(torch.from_numpy(views)).logit
    np.testing.assert_allclose((part_VP.sum(1) + rest_V).numpy(), logits, atol=1e-4)
    map_RC = heat_map(loaded, views[1])
    assert map_RC.shape == (7, 7) and map_RC.dtype == np.float32
    np.testing.assert_allclose(map_RC.ravel(), part_VP[1].numpy(), atol=1e-5)


@pytest.mark.parametrize("blocks", [0, 2])
def test_what_is_read_from_each_token_is_the_attention_of_torch(blocks: int, tmp_path: Path) -> None:
    own = load_checkpoint(tiny_checkpoint(tmp_path / "own", blocks=blocks))
    last = own.detector.tower.transformer.resblocks[-1]
    block = cast(Block, last.frozen if isinstance(last, AdaptedBlock) else last)
    token = torch.randn(2, 50, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normal = block.ln_1(token)
        whole = block.attention(normal)[:, 0]
        read = read_by_class(block, token)
        weight = block.attn(normal, normal, normal, average_attn_weights=False)[1][:, :, 0, 0]
        value = (normal[:, 0] @ block.attn.in_proj_weight[128:].T + block.attn.in_proj_bias[128:]).view(2, 4, 16)
        itself = (weight[..., None] * value).flatten(1) @ block.attn.out_proj.weight.T
    np.testing.assert_allclose((read.sum(1) + itself + block.attn.out_proj.bias).numpy(), whole.numpy(), atol=1e-4)


def test_a_head_of_several_layers_splits_too(loaded: Checkpoint) -> None:
    torch.manual_seed(0)
    deep = MoLE(tower_of(loaded.description), loaded.detector.config.model_copy(update={"head_depth": 2}))
    view_13SS = normalise(torch.from_numpy(drawn(1, 3, 224, 224)), loaded.preprocess)
    part_VP, rest_V = split_logits(deep.eval(), view_13SS)
    with torch.no_grad():
        logit = deep(view_13SS).logit_B
    np.testing.assert_allclose((part_VP.sum(1) + rest_V).numpy(), logit.numpy(), atol=1e-4)


@pytest.mark.parametrize(("name", "count"), [("resize", 1), ("crop", 1), ("crop-4", 4), ("texture-2", 2)])
def test_an_image_has_a_map_for_each_view_and_their_mean_is_its_logit(name: str, count: int, tmp_path: Path) -> None:
    own = load_checkpoint(tiny_checkpoint(tmp_path / "own", preprocess=Preprocess.named(name)))
    image = drawn(3, 300, 400)
    maps = heat_maps(own, image)
    views = np.stack([one.view_3SS for one in maps])
    assert len(maps) == count
    [logit] = PanelOfOne(own, "cpu", precision="float32").score(torch.from_numpy(views), crops=count).logit
    assert np.mean([one.logit for one in maps]) == pytest.approx(logit, abs=1e-4)
    for one in maps:
        top, left, bottom, right = map(round, one.box)
        seen = image[:, top:bottom, left:right]
        assert seen.shape[1] == seen.shape[2] and one.part_RC.shape == (7, 7)
        if name != "resize":
            np.testing.assert_array_equal(seen, one.view_3SS)


def test_drawn_weights_give_another_map(loaded: Checkpoint, tmp_path: Path) -> None:
    other = load_checkpoint(tiny_checkpoint(tmp_path / "other", adapters=1))
    own, changed = (heat_map(model, drawn(3, 224, 224)).ravel() for model in (loaded, other))
    assert abs(np.corrcoef(own, changed)[0, 1]) < 0.9
