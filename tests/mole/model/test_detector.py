"""The laws of the detector: it begins as frozen CLIP bit for bit, trains what it should, and is not moved by its batch."""

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import nn

from mole.architecture import Architecture
from mole.config import DetectorConfig
from mole.errors import ModelError
from mole.model.block import AdaptedBlock
from mole.model.detector import MoLE, detection_loss, learned, pooled, stored
from mole.model.experts import Experts
from mole.model.head import Head
from mole.model.router import Router
from mole.tower.backbone import assemble
from mole.tower.hub import architecture_of
from mole.tower.vit import Tower
from tests.tiny import CONFIG, SHAPE, tiny_weights


def tower() -> Tower:
    """Make a tiny tower with drawn weights."""
    return assemble(SHAPE, tiny_weights(), "tiny")


def open_clips(shape: Architecture) -> VisionTransformer:
    """Make open_clip's own tower with the same weights."""
    sizes = (shape.image_size, shape.patch_size, shape.width, shape.layers, shape.heads)
    activation = QuickGELU if shape.quick_gelu else nn.GELU
    plain = VisionTransformer(*sizes, 4.0, output_dim=shape.embed_dim, act_layer=activation)
    plain.load_state_dict(tiny_weights())
    return plain.requires_grad_(False).eval()


def trained(config: DetectorConfig = CONFIG) -> MoLE:
    """Make a detector whose experts and head were moved from where they begin."""
    detector = MoLE(tower(), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in learned(detector).values():
            parameter.normal_(std=0.3)
    return detector.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quick", [True, False])
def test_the_tower_is_open_clips_bit_for_bit(dtype: torch.dtype, *, quick: bool) -> None:
    shape = SHAPE.model_copy(update={"quick_gelu": quick})
    ours = assemble(shape, tiny_weights(), "tiny").to(dtype)
    view_B3SS = torch.randn(3, 3, 224, 224, dtype=dtype)
    with torch.inference_mode():
        assert torch.equal(ours(view_B3SS), open_clips(shape).to(dtype)(view_B3SS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fresh_experts_leave_the_tower_bit_for_bit(dtype: torch.dtype) -> None:
    plain = open_clips(SHAPE).to(dtype)
    detector = MoLE(tower().to(dtype), CONFIG)
    view_B3SS = torch.randn(3, 3, 224, 224, dtype=dtype)
    with torch.inference_mode():  # with gradients, torch's attention takes another path than for a frozen tower
        feature_BF, _ = detector.feature(detector.trunk(view_B3SS))
        assert torch.equal(feature_BF, plain(view_B3SS).float())


def test_experts_that_were_trained_move_the_logits() -> None:
    fresh, view_B3SS = MoLE(tower(), CONFIG), torch.randn(2, 3, 224, 224)
    moved = trained()
    moved.head.load_state_dict(fresh.head.state_dict())
    assert not torch.allclose(fresh(view_B3SS).logit_B, moved(view_B3SS).logit_B, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "trains"),
    [("ViT-L-14-quickgelu", 231_169), ("ViT-B-16-quickgelu", 173_313), ("ViT-B-32-quickgelu", 173_313)],
)
def test_the_trainable_parameters_are_the_ones_of_the_papers_budget(name: str, trains: int) -> None:
    with torch.device("meta"):
        detector = MoLE(Tower(architecture_of(name)), DetectorConfig())
    assert sum(parameter.numel() for parameter in learned(detector).values()) == trains
    if name.startswith("ViT-L"):
        assert sum(parameter.numel() for parameter in detector.tower.parameters()) - trains + 769 == 303_966_208


def test_batch_size_and_order_move_no_logit() -> None:
    detector, view_B3SS = trained(), torch.randn(7, 3, 224, 224)
    with torch.inference_mode():
        together = detector(view_B3SS).logit_B
        alone = torch.cat([detector(view_B3SS[number : number + 1]).logit_B for number in range(7)])
        turned = detector(view_B3SS.flip(0)).logit_B.flip(0)
    assert (together - alone).abs().max() <= 1e-4
    assert (together - turned).abs().max() <= 1e-4


def test_what_trains_is_chosen_by_type_and_the_rest_is_frozen() -> None:
    detector = trained()
    owned = {
        id(parameter)
        for module in detector.modules()
        if isinstance(module, Experts | Router | Head)
        for parameter in module.parameters()
    }
    assert {id(parameter) for parameter in learned(detector).values()} == owned
    assert {id(parameter) for parameter in detector.parameters() if parameter.requires_grad} == owned


def test_a_step_moves_what_trains_and_nothing_else() -> None:
    detector = trained()
    before = {name: parameter.clone() for name, parameter in detector.named_parameters()}
    optimizer = torch.optim.SGD(learned(detector).values(), lr=0.1)
    label_B = torch.tensor([0.0, 1.0])
    loss = detection_loss(detector(torch.randn(2, 3, 224, 224)), label_B, 0.1)
    torch.autograd.backward([loss])
    optimizer.step()
    moved = {name for name, parameter in detector.named_parameters() if not torch.equal(parameter, before[name])}
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    assert moved == {names[id(parameter)] for parameter in learned(detector).values()}


def test_gates_are_the_mean_weights_and_sum_to_one() -> None:
    output = trained()(torch.randn(4, 3, 224, 224))
    assert output.gates_BE.shape == (4, 3)
    torch.testing.assert_close(output.gates_BE.sum(dim=1), torch.ones(4))


def test_the_balance_term_is_nothing_when_all_experts_are_used_alike_and_weighs_in_the_loss() -> None:
    view_B3SS, label_B = torch.randn(2, 3, 224, 224), torch.tensor([0.0, 1.0])
    assert MoLE(tower(), CONFIG)(view_B3SS).balance.item() == pytest.approx(0, abs=1e-6)
    output = trained()(view_B3SS)
    plain, balanced = detection_loss(output, label_B, 0.0), detection_loss(output, label_B, 2.0)
    assert output.balance > 0
    torch.testing.assert_close(balanced - plain, 2 * output.balance)
    expected = nn.functional.binary_cross_entropy(output.logit_B.sigmoid(), label_B)
    torch.testing.assert_close(plain, expected)


def test_a_detector_without_experts_is_the_tower_with_a_head() -> None:
    detector = MoLE(tower(), DetectorConfig(adapted_blocks=0, shared_rank=0, expert_ranks=()))
    view_B3SS = torch.randn(2, 3, 224, 224)
    output = detector(view_B3SS)
    assert output.gates_BE.shape == (2, 0) and output.balance == 0
    assert torch.equal(output.logit_B, detector.head(open_clips(SHAPE)(view_B3SS)).squeeze(-1))
    assert set(learned(detector)) == {"head.0.weight", "head.0.bias"}


def test_a_top_k_beyond_the_experts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"top_k must lie in \[1, 3\], got 4"):
        DetectorConfig(top_k=4)


READING = DetectorConfig(blocks=(1,), reads=(1, 3), pooling=("class", "mean", "deviation"), shared_rank=4)


def test_a_read_is_the_tokens_behind_that_block_and_nothing_runs_above_the_last() -> None:
    plain, detector = tower(), MoLE(tower(), READING)
    view_B3SS = torch.randn(3, 3, 224, 224)
    with torch.inference_mode():
        token_BTD = plain.embed(view_B3SS)
        expected = []
        for number, block in enumerate(plain.transformer.resblocks, 1):
            token_BTD = block(token_BTD)
            patch_BPD = token_BTD[:, 1:]
            if number in READING.reads:
                expected += [token_BTD[:, 0], patch_BPD.mean(1), patch_BPD.std(1, unbiased=False)]
        feature_BF, weight_BLE = detector.feature(detector.trunk(view_B3SS))
    torch.testing.assert_close(feature_BF, torch.cat(expected, dim=1), atol=1e-4, rtol=1e-4)
    assert weight_BLE.shape == (3, 1, 3)
    blocks = detector.tower.transformer.resblocks
    assert [isinstance(block, AdaptedBlock) for block in blocks] == [False, True, False]
    assert (detector.split, detector.depth) == (1, 3)


@pytest.mark.parametrize(
    ("values", "split", "depth"),
    [
        ({"reads": (3,)}, 1, 3),
        ({"reads": (2, 4), "blocks": (3,)}, 2, 4),
        ({"reads": (3,), "blocks": ()}, 3, 3),
        ({"blocks": (0, 2)}, 0, 4),
        ({"blocks": ()}, 4, 4),
    ],
)
def test_the_trunk_ends_below_the_first_adapted_block_and_at_the_first_read(
    values: dict[str, object], split: int, depth: int
) -> None:
    detector = MoLE(tower(), DetectorConfig.model_validate({"adapted_blocks": 2, **values}))
    assert (detector.split, detector.depth, len(detector.tower.transformer.resblocks)) == (split, depth, depth)
    assert detector(torch.randn(2, 3, 224, 224)).logit_B.shape == (2,)


def test_a_detector_that_reads_blocks_needs_no_projection_and_no_last_norm() -> None:
    bare, whole = tower(), tower()
    bare.proj, bare.ln_post = None, None
    view_B3SS = torch.randn(2, 3, 224, 224)
    first, second = (MoLE(own, READING) for own in (bare, whole))
    first.head.load_state_dict(second.head.state_dict())
    assert torch.equal(first(view_B3SS).logit_B, second(view_B3SS).logit_B)
    with pytest.raises(ModelError, match=r"no feature, so the head needs reads in \[1, 3\]"):
        MoLE(bare, DetectorConfig())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"reads": (3, 5)}, r"reads must lie in \[1, 4\], got 5"),
        ({"blocks": (1, 4)}, r"blocks must lie in \[0, 3\], got 4"),
        ({"adapted_blocks": 5}, r"adapted_blocks must lie in \[0, 4\], got 5"),
        ({"reads": (2,)}, r"adapted_blocks must lie in \[0, 2\], got 3"),
        ({"reads": (2,), "blocks": (), "head": "kernel"}, r"components must lie in \[1, 64\], got 256"),
    ],
)
def test_blocks_that_the_tower_has_not_are_refused_with_the_bound(values: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        MoLE(tower(), DetectorConfig.model_validate(values))


def test_a_tower_without_a_class_token_is_read_by_its_patches() -> None:
    bare = tower()
    bare.prefix, bare.classed = 0, False
    with pytest.raises(ModelError, match="no class token"):
        MoLE(bare, DetectorConfig(reads=(2,), blocks=()))
    detector = MoLE(bare, DetectorConfig(reads=(2,), blocks=(), pooling=("mean",)))
    token_BTD = torch.randn(2, 5, 64)
    torch.testing.assert_close(detector.read(token_BTD), token_BTD.mean(dim=1))


def test_the_deviation_of_patches_that_are_all_alike_has_a_finite_slope() -> None:
    token_BTD = torch.ones(2, 5, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(pooled(token_BTD, "deviation", 1).sum(), token_BTD)
    assert slope.isfinite().all()


def test_a_checkpoint_holds_what_learns_and_what_the_head_was_fitted_by() -> None:
    detector = MoLE(tower(), READING.model_copy(update={"head": "kernel", "components": 4, "centres": 5}))
    fitted = {"head.0.mean_F", "head.0.scale_F", "head.1.turn_PF", "head.1.centre_CP", "head.1.gamma"}
    assert stored(detector).keys() - learned(detector).keys() == fitted
    assert stored(trained()).keys() == learned(trained()).keys()
