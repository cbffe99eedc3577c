"""Laws of heat maps: the parts and the rest are the logit, whatever the model; they lie where the views do."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from mole.checkpoint import Checkpoint, load_checkpoint, tower_of
from mole.config import DetectorConfig
from mole.inference.heatmap import head_slope, heat_map, heat_maps, read_by_class, split_logits
from mole.inference.scoring import SingleModelScorer
from mole.model.block import AdaptedBlock
from mole.model.detector import MoLE
from mole.tower.vit import Block, normalise
from mole.views.preprocess import Preprocess
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
    logits = SingleModelScorer(loaded, "cpu", precision="float32").score(torch.from_numpy(views)).logit
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


READING = {"blocks": (1,), "reads": (2, 4), "pooling": ("class", "mean", "deviation")}


@pytest.mark.parametrize("head", [{}, {"head_depth": 2}, {"head": "kernel", "components": 8, "centres": 30}])
def test_a_map_of_reads_in_the_middle_splits_the_logit(head: dict[str, object], tmp_path: Path) -> None:
    config = DetectorConfig.model_validate(READING | head)
    model = load_checkpoint(tiny_checkpoint(tmp_path / "own", detector=config)).detector
    view_2SS = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    part_VP, rest_V = split_logits(model, view_2SS)
    with torch.no_grad():
        logit_V = model(view_2SS).logit_B
    assert part_VP.shape == (2, 49) and part_VP.isfinite().all()
    np.testing.assert_allclose((part_VP.sum(1) + rest_V).numpy(), logit_V.numpy(), atol=1e-3)


@pytest.mark.parametrize("pooling", ["mean", "deviation"])
def test_patches_share_out_all_that_tells_their_pooled_read_from_the_usual_one(pooling: str, tmp_path: Path) -> None:
    config = DetectorConfig.model_validate(READING | {"pooling": (pooling,)})
    model = load_checkpoint(tiny_checkpoint(tmp_path / "own", detector=config)).detector
    standard, [last] = model.head.standard, model.head.linear
    assert standard is not None
    view_2SS = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        standard.mean_F.normal_()
        feature_VF = model.feature(model.trunk(view_2SS))[0]
        expected_V = (feature_VF - standard.mean_F) @ last.weight[0]
        part_VP, rest_V = split_logits(model, view_2SS)
    np.testing.assert_allclose(part_VP.sum(1).numpy(), expected_V.numpy(), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(rest_V.numpy(), np.full(2, last.bias.item()), atol=1e-2)


def test_no_patch_is_read_by_the_class_token_above_the_read(tmp_path: Path) -> None:
    config = DetectorConfig(blocks=(), reads=(1, 3))
    model = load_checkpoint(tiny_checkpoint(tmp_path / "own", detector=config)).detector
    view_1SS = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    width = model.head.linear[0].in_features // 2
    with torch.no_grad():
        model.head.linear[0].weight[:, width:] = 0  # what is read behind the third block counts for nothing
        first = model.tower.transformer.resblocks[0]
        own_VPD = read_by_class(cast(Block, first), model.tower.embed(view_1SS))
        expected_VP = own_VPD @ model.head.linear[0].weight[0, :width]
    np.testing.assert_allclose(split_logits(model, view_1SS)[0].numpy(), expected_VP.numpy(), rtol=1e-3, atol=1e-3)


def test_the_slope_of_a_kernel_head_leads_from_what_it_was_fitted_to_to_the_view(tmp_path: Path) -> None:
    config = DetectorConfig(blocks=(), reads=(2,), head="kernel", components=8, centres=30)
    head = load_checkpoint(tiny_checkpoint(tmp_path / "own", detector=config)).detector.head
    standard = head.standard
    assert standard is not None
    read_VF = 2 * torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    logit_V, slope_VF = head_slope(head, read_VF)
    with torch.no_grad():
        usual = head(standard.mean_F[None]).item()
    risen_V = (slope_VF * (read_VF - standard.mean_F)).sum(dim=1)
    np.testing.assert_allclose(risen_V.numpy(), (logit_V - usual).numpy(), atol=0.01)


@pytest.mark.parametrize(
    ("name", "count"), [("resize", 1), ("crop", 1), ("crop-4", 4), ("texture-2", 2), ("resize+crop", 2)]
)
def test_an_image_has_a_map_for_each_view_and_their_mean_is_its_logit(name: str, count: int, tmp_path: Path) -> None:
    own = load_checkpoint(tiny_checkpoint(tmp_path / "own", preprocess=Preprocess.named(name)))
    image = drawn(3, 300, 400)
    maps = heat_maps(own, image)
    views = np.stack([one.view_3SS for one in maps])
    assert len(maps) == count
    [logit] = SingleModelScorer(own, "cpu", precision="float32").score(torch.from_numpy(views), crops=count).logit
    assert np.mean([one.logit for one in maps]) == pytest.approx(logit, abs=1e-4)
    for number, one in enumerate(maps):
        top, left, bottom, right = map(round, one.box)
        seen = image[:, top:bottom, left:right]
        assert seen.shape[1] == seen.shape[2] and one.part_RC.shape == (7, 7)
        if name != "resize" and (name, number) != ("resize+crop", 0):
            np.testing.assert_array_equal(seen, one.view_3SS)


def test_drawn_weights_give_another_map(loaded: Checkpoint, tmp_path: Path) -> None:
    other = load_checkpoint(tiny_checkpoint(tmp_path / "other", adapters=1))
    own, changed = (heat_map(model, drawn(3, 224, 224)).ravel() for model in (loaded, other))
    assert abs(np.corrcoef(own, changed)[0, 1]) < 0.9
