"""The laws of a tower of timm's parts: it gives timm's own numbers, experts stand in it, and all but they is frozen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mole.architecture import Architecture
from mole.checkpoint import load_checkpoint
from mole.config import DetectorConfig
from mole.errors import ModelError
from mole.inference.heatmap import heat_map
from mole.inference.precision import faster, in_bfloat16
from mole.inference.scoring import SharedBackboneScorer
from mole.model.detector import MoLE, detection_loss, learned
from mole.tower.attention import prepare_for_training
from mole.tower.backbone import assemble, load_tower, tower_digest
from mole.tower.timm_vit import Rotation
from mole.tower.vit import Block, Tower, normalise
from tests.timms import DINOV3, KINDS, PE, SIGLIP, timm_checkpoint, timms, weights

CONFIG = DetectorConfig(adapted_blocks=2, shared_rank=4, expert_ranks=(2, 3))
every_kind = pytest.mark.parametrize("shape", KINDS.values(), ids=KINDS.keys())


def tower(shape: Architecture) -> Tower:
    return assemble(shape, weights(shape), "tiny")


def views(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def trained(shape: Architecture) -> MoLE:
    """Make a detector whose experts and head were moved from where they begin."""
    detector = MoLE(tower(shape), CONFIG)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in learned(detector).values():
            parameter.normal_(std=0.3)
    return detector.eval()


@every_kind
def test_the_tower_is_timms(shape: Architecture) -> None:
    ours, view_B3SS = tower(shape), views()
    with torch.inference_mode():
        feature_BF = ours(view_B3SS)
        assert (feature_BF - timms(shape)(view_B3SS)).abs().max() <= 1e-5
    assert feature_BF.shape == (3, ours.features) == (3, shape.embed_dim)
    assert feature_BF.std(dim=0).mean() > 1e-3  # so it tells images apart
    assert ours.embed(view_B3SS).shape == (3, ours.tokens, shape.width)


@every_kind
def test_behind_every_block_lie_timms_own_tokens(shape: Architecture) -> None:
    ours, view_B3SS = tower(shape), views()
    with torch.inference_mode():
        theirs = timms(shape).forward_intermediates(view_B3SS, output_fmt="NLC", intermediates_only=True)
        token_BTD = ours.embed(view_B3SS)
        for block, patch_BPD in zip(ours.transformer.resblocks, theirs, strict=True):
            token_BTD = block(token_BTD)
            assert (token_BTD[:, ours.prefix :] - patch_BPD).abs().max() <= 1e-5


@every_kind
def test_fresh_experts_leave_the_tower_bit_for_bit(shape: Architecture) -> None:
    detector, view_B3SS = MoLE(tower(shape), CONFIG), views()
    with torch.inference_mode():
        feature_BF, weight_BLE = detector.feature(detector.trunk(view_B3SS))
        assert torch.equal(feature_BF, tower(shape)(view_B3SS))
    assert weight_BLE.shape == (3, 2, 2)


@every_kind
def test_a_step_moves_what_trains_and_nothing_else(shape: Architecture) -> None:
    detector = trained(shape).train()
    prepare_for_training(detector)
    before = {name: parameter.clone() for name, parameter in detector.named_parameters()}
    optimizer = torch.optim.SGD(learned(detector).values(), lr=0.1)
    loss = detection_loss(detector(views()), torch.tensor([0.0, 1.0, 1.0]), 0.1)
    torch.autograd.backward([loss])
    optimizer.step()
    moved = {name for name, parameter in detector.named_parameters() if not torch.equal(parameter, before[name])}
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    assert moved == {names[id(parameter)] for parameter in learned(detector).values()}


@every_kind
def test_training_mode_and_the_others_of_a_batch_change_no_number(shape: Architecture) -> None:
    detector, view_B3SS = trained(shape), views()
    with torch.inference_mode():
        together_B = detector(view_B3SS).logit_B
        alone_B = torch.cat([detector(view_13SS).logit_B for view_13SS in view_B3SS[:, None]])
        assert torch.equal(detector.train()(view_B3SS).logit_B, together_B)
    assert (together_B - alone_B).abs().max() <= 1e-4


def test_what_stands_before_the_patches_is_told() -> None:
    assert [(tower(shape).prefix, tower(shape).classed) for shape in (SIGLIP, PE, DINOV3)] == [
        (0, False),
        (1, True),
        (5, True),
    ]
    assert [tower(shape).kept for shape in (SIGLIP, PE, DINOV3)] == [None, None, 1]
    assert [tower(shape).turns for shape in (SIGLIP, PE, DINOV3)] == [False, True, True]


@every_kind
@pytest.mark.parametrize("naming", ["", "trunk.", "visual.trunk."])
def test_weights_are_loaded_back_from_a_file_by_timms_names_and_open_clips(
    shape: Architecture, naming: str, tmp_path: Path
) -> None:
    named = {f"{naming}{name}": tensor.clone() for name, tensor in weights(shape).items()}
    beside = {"logit_scale": torch.ones(1), "text.ln_final.weight": torch.ones(3)} if naming == "visual.trunk." else {}
    save_file(named | beside, tmp_path / "w.safetensors")
    loaded = load_tower("tiny", tmp_path / "w.safetensors", shape)
    assert tower_digest(loaded.state_dict()) == tower_digest(tower(shape).state_dict())
    with torch.inference_mode():
        assert torch.equal(loaded(views()), tower(shape)(views()))


def as_perception_encoder(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Write PE's weights as its authors do."""
    swaps = (
        ("patch_embed.proj", "conv1"),
        ("attn_pool.latent", "attn_pool.probe"),
        ("attn_pool.norm", "attn_pool.layernorm"),
        ("norm_pre", "ln_pre"),
        ("blocks.", "transformer.resblocks."),
        (".norm1.", ".ln_1."),
        (".norm2.", ".ln_2."),
        (".mlp.fc1", ".mlp.c_fc"),
        (".mlp.fc2", ".mlp.c_proj"),
        (".attn.proj", ".attn.out_proj"),
        (".attn.qkv.", ".attn.in_proj_"),
    )
    state = dict(state) | {"positional_embedding": state["pos_embed"][0], "class_embedding": state["cls_token"][0, 0]}
    state |= {f"ln_post.{kind}": state[f"norm.{kind}"] for kind in ("weight", "bias")}
    state["proj"] = state["head.weight"].T
    for kind in ("weight", "bias"):
        query, others = state.pop(f"attn_pool.q.{kind}"), state.pop(f"attn_pool.kv.{kind}")
        state[f"attn_pool.attn.in_proj_{kind}"] = torch.cat([query, others])
        state[f"attn_pool.attn.out_proj.{kind}"] = state.pop(f"attn_pool.proj.{kind}")
    for name in ("pos_embed", "cls_token", "norm.weight", "norm.bias", "head.weight", "head.bias"):
        del state[name]
    named = {}
    for key, tensor in state.items():
        name = key
        for ours, theirs in swaps:
            name = name.replace(ours, theirs)
        named[f"visual.{name}"] = tensor.contiguous()
    return named | {"logit_scale": torch.ones(1)}


def as_dino(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Write DINOv3's weights as its authors do."""
    swaps = (("reg_token", "storage_tokens"), ("gamma_1", "ls1.gamma"), ("gamma_2", "ls2.gamma"))
    named = {}
    for key, tensor in state.items():
        name = key
        for ours, theirs in swaps:
            name = name.replace(ours, theirs)
        named[name] = tensor
    return named | {"mask_token": torch.ones(1, 64), "rope_embed.periods": torch.ones(4)}


@pytest.mark.parametrize(("shape", "write"), [(PE, as_perception_encoder), (DINOV3, as_dino)])
def test_weights_by_the_names_of_their_authors_give_the_same_tower(
    shape: Architecture, write: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    state = weights(shape)
    if "head.bias" in state:
        state["head.bias"] = torch.zeros_like(state["head.bias"])  # the authors' projection has none
    torch.save(write(state), tmp_path / "w.pt")
    loaded = load_tower("tiny", tmp_path / "w.pt", shape)
    assert tower_digest(loaded.state_dict()) == tower_digest(assemble(shape, state, "tiny").state_dict())


def test_a_classifier_beside_a_tower_is_left_out_and_every_other_key_must_fit() -> None:
    state = weights(DINOV3)
    assemble(DINOV3, state | {"head.weight": torch.ones(9, 64), "head.bias": torch.ones(9)}, "file")
    odd = {name: tensor for name, tensor in state.items() if name != "norm.weight"} | {"odd": torch.ones(1)}
    with pytest.raises(
        ModelError, match=r"file does not fit the model: missing \['norm.weight'\], unexpected \['odd'\]"
    ):
        assemble(DINOV3, odd, "file")


def test_positions_of_another_size_are_resampled() -> None:
    larger = assemble(SIGLIP.model_copy(update={"image_size": 96}), weights(SIGLIP), "file")
    assert larger.tokens == 36 and larger(torch.randn(1, 3, 96, 96)).shape == (1, 64)


@every_kind
def test_in_bfloat16_the_tower_is_the_same_up_to_rounding(shape: Architecture) -> None:
    detector, view_B3SS = trained(shape), views()
    [half] = in_bfloat16([detector])
    with torch.inference_mode():
        exact_BF = detector.feature(detector.trunk(view_B3SS))[0]
        token_BTD = half.trunk(view_B3SS.bfloat16())
        half_BF = half.feature(token_BTD)[0]
    assert token_BTD.dtype is torch.bfloat16
    assert (exact_BF - half_BF).norm() <= 0.03 * exact_BF.norm()
    assert faster(detector) in ("float32", "bfloat16")


def test_angles_stay_exact_in_a_tower_of_bfloat16_and_are_held_once() -> None:
    exact, half = (
        [module for module in one.modules() if isinstance(module, Rotation)]
        for one in (tower(PE), tower(PE).bfloat16())
    )
    assert (len(exact), len(half)) == (1, 1) and torch.equal(exact[0].rope, half[0].rope)


def test_a_block_is_a_block_to_whoever_stands_beside_its_mlp() -> None:
    assert all(isinstance(block, Block) for block in tower(SIGLIP).transformer.resblocks)


@every_kind
def test_the_middle_is_read_and_what_stands_above_it_is_gone(shape: Architecture) -> None:
    whole, view_B3SS = timms(shape), views()
    patches_R = whole.forward_intermediates(view_B3SS, indices=[0, 1], output_fmt="NLC", intermediates_only=True)
    config = DetectorConfig(blocks=(), reads=(1, 2), pooling=("mean", "deviation"))
    detector = MoLE(tower(shape), config)
    with torch.inference_mode():
        feature_BF, _ = detector.feature(detector.trunk(view_B3SS))
    theirs = [part for token in patches_R for part in (token.mean(dim=1), token.std(dim=1, unbiased=False))]
    assert (feature_BF - torch.cat(theirs, dim=1)).abs().max() <= 1e-5
    assert len(detector.tower.transformer.resblocks) == 2


def feature(detector: MoLE) -> torch.Tensor:
    with torch.inference_mode():
        return detector.feature(detector.trunk(views()))[0]


@every_kind
def test_experts_in_a_middle_block_move_what_is_read_behind_it_once_they_were_trained(shape: Architecture) -> None:
    plain = DetectorConfig(blocks=(), reads=(1, 3), pooling=("mean",))
    detector = MoLE(tower(shape), plain.model_copy(update={"blocks": (1,)}))
    plain_BF, width = feature(MoLE(tower(shape), plain)), shape.width
    assert torch.equal(feature(detector), plain_BF)
    with torch.no_grad():
        for parameter in learned(detector).values():
            parameter.normal_(std=0.3)
    moved_BF = feature(detector)
    assert torch.equal(moved_BF[:, :width], plain_BF[:, :width])
    assert (moved_BF[:, width:] - plain_BF[:, width:]).abs().mean() > 1e-3


def test_a_class_token_is_read_only_where_there_is_one() -> None:
    config = DetectorConfig(blocks=(), reads=(2,))
    for shape in (PE, DINOV3):
        detector = MoLE(tower(shape), config)
        token_BTD = detector.run_blocks(detector.trunk(views()), 2, 2)
        assert torch.equal(feature(detector), token_BTD[:, 0])
    with pytest.raises(ModelError, match="no class token.*use mean or deviation"):
        MoLE(tower(SIGLIP), config)


@every_kind
def test_a_checkpoint_is_loaded_back_and_two_on_one_tower_score_together_as_alone(
    shape: Architecture, tmp_path: Path
) -> None:
    reading = DetectorConfig(blocks=(1,), reads=(2,), pooling=("mean",), expert_ranks=(2, 3))
    folders = [timm_checkpoint(tmp_path / str(n), shape, config, n) for n, config in enumerate((CONFIG, reading))]
    pixels_B3SS = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    loaded = [load_checkpoint(folder) for folder in folders]
    with torch.inference_mode():
        alone = [one.detector(normalise(pixels_B3SS, one.preprocess)).logit_B.numpy() for one in loaded]
    for precision in ("float32", "bfloat16"):
        scores = SharedBackboneScorer(list(map(load_checkpoint, folders)), "cpu", precision=precision).score(
            [pixels_B3SS]
        )
        for score, logit_B in zip(scores, alone, strict=True):
            np.testing.assert_allclose(score.logit, logit_B, atol=1e-4 if precision == "float32" else 0.3)


def test_a_map_of_what_clips_attention_reads_is_refused_by_the_towers_name(tmp_path: Path) -> None:
    model = load_checkpoint(timm_checkpoint(tmp_path / "pe", PE, CONFIG))
    with pytest.raises(ModelError, match="heat maps need CLIP's attention, and 'tiny' has another"):
        heat_map(model, np.zeros((3, 64, 64), np.uint8))
