"""The copy in bfloat16 is the same detector up to rounding; which one is used is measured."""

import copy
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mole.checkpoint import Checkpoint, load_checkpoint
from mole.config import DetectorConfig
from mole.inference.precision import faster, in_bfloat16, preferred_precision, seconds_of
from mole.inference.scoring import SingleModelScorer, share_backbone
from mole.model.detector import MoLE, learned, stored
from mole.tower.vit import Block, QuickGELU
from tests.tiny import tiny_checkpoint


@pytest.fixture
def loaded(tmp_path: Path) -> Checkpoint:
    """A tiny detector."""
    return load_checkpoint(tiny_checkpoint(tmp_path / "tiny"))


def test_what_was_trained_stays_float32(loaded: Checkpoint) -> None:
    [half] = in_bfloat16([loaded.detector])
    assert half.tower.conv1.weight.dtype is torch.bfloat16
    for name, parameter in learned(half).items():
        assert torch.equal(parameter, learned(loaded.detector)[name])
        assert parameter.dtype is torch.float32 and parameter is not learned(loaded.detector)[name]


def test_an_activation_in_one_pass_is_as_near_to_float32_as_in_three(loaded: Checkpoint) -> None:
    exact, [half] = loaded.detector, in_bfloat16([loaded.detector])
    assert not [module for module in half.modules() if isinstance(module, QuickGELU)]
    assert [module for module in exact.modules() if isinstance(module, QuickGELU)], "the original stays as it is"
    plain = copy.deepcopy(exact).bfloat16()
    for path, module in plain.named_modules():
        if path.endswith("experts") or path == "head":
            module.float()
    view_B3SS = torch.randn(64, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def drift(detector: MoLE) -> float:
        with torch.inference_mode():
            logit_B = detector(view_B3SS.bfloat16()).logit_B.float()
            return float((logit_B - exact(view_B3SS).logit_B).abs().mean())

    assert 0 < drift(half) < 1.5 * drift(plain)


@pytest.mark.parametrize("adapted", [2, 0])
def test_no_token_but_the_class_token_goes_through_the_last_mlp_and_the_logits_stay(
    tmp_path: Path, adapted: int
) -> None:
    exact = load_checkpoint(tiny_checkpoint(tmp_path / "tiny", blocks=adapted)).detector
    [half] = in_bfloat16([exact])
    blocks = [[block for block in detector.modules() if isinstance(block, Block)] for detector in (exact, half)]
    assert [[block.kept for block in each] for each in blocks] == [[None] * 4, [None, None, None, 1]]
    seen: list[int] = []
    blocks[1][-1].mlp.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    view_B3SS = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.inference_mode():
        few = half(view_B3SS)
        blocks[1][-1].kept = None
        every = half(view_B3SS)
    assert seen == [1, 50]
    assert torch.equal(few.gates_BE, every.gates_BE)
    torch.testing.assert_close(few.logit_B, every.logit_B, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("values", "kept"), [({"reads": (1, 3)}, 1), ({"reads": (3,), "pooling": ("class", "mean")}, None), ({}, 1)]
)
def test_the_last_block_keeps_as_many_tokens_as_are_read_behind_it(
    values: dict[str, object], kept: int | None, tmp_path: Path
) -> None:
    config = DetectorConfig.model_validate({"adapted_blocks": 1, **values})
    exact = load_checkpoint(tiny_checkpoint(tmp_path / "tiny", detector=config)).detector
    [half] = in_bfloat16([exact])
    blocks = [block for block in half.modules() if isinstance(block, Block)]
    assert [block.kept for block in blocks] == [None] * (exact.depth - 1) + [kept]
    view_B3SS = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.inference_mode():
        few = half(view_B3SS).logit_B
        blocks[-1].kept = None
        torch.testing.assert_close(few, half(view_B3SS).logit_B, rtol=0.02, atol=0.02)


def test_a_block_that_another_detector_runs_on_from_keeps_all_tokens(tmp_path: Path) -> None:
    shapes = [DetectorConfig(blocks=(), reads=(2,)), DetectorConfig(adapted_blocks=1)]
    pair = [
        load_checkpoint(tiny_checkpoint(tmp_path / str(number), detector=shape)).detector
        for number, shape in enumerate(shapes)
    ]
    share_backbone(pair[1], pair[0])
    kept = [[block.kept for block in half.modules() if isinstance(block, Block)] for half in in_bfloat16(pair)]
    assert kept == [[None, None], [None, None, None, 1]]


def test_what_a_head_was_fitted_by_stays_in_its_precision(tmp_path: Path) -> None:
    config = DetectorConfig(blocks=(), reads=(2,), head="kernel", components=8, centres=30)
    whole = load_checkpoint(tiny_checkpoint(tmp_path / "tiny", detector=config)).detector
    [half] = in_bfloat16([whole])
    own = {name: tensor.dtype for name, tensor in stored(whole).items()}
    assert {name: tensor.dtype for name, tensor in stored(half).items()} == own
    assert torch.bfloat16 not in own.values()


def test_copies_of_detectors_over_one_tower_stand_on_one_tower(tmp_path: Path) -> None:
    pair = [load_checkpoint(tiny_checkpoint(tmp_path / str(seed), adapters=seed)).detector for seed in (0, 1)]
    share_backbone(*pair)
    first, second = in_bfloat16(pair)
    frozen = [{id(p) for p in half.parameters()} - {id(p) for p in learned(half).values()} for half in (first, second)]
    assert frozen[0] == frozen[1] and len(frozen[0]) > 20
    assert not {id(p) for p in learned(first).values()} & {id(p) for p in learned(second).values()}


def test_a_tower_with_plain_gelu_keeps_it(loaded: Checkpoint) -> None:
    for block in loaded.detector.modules():
        if isinstance(block, nn.Sequential) and hasattr(block, "gelu"):
            block.gelu = nn.GELU()
    [half] = in_bfloat16([loaded.detector])
    assert not [module for module in half.modules() if isinstance(module, nn.SiLU)]
    name = "tower.transformer.resblocks.0.mlp.c_fc.weight"
    exact, rounded = (detector.get_parameter(name) for detector in (loaded.detector, half))
    assert torch.equal(exact.bfloat16(), rounded)


def test_what_else_the_machine_does_is_not_measured() -> None:
    class Waiting(nn.Module):
        def forward(self, token_BTD: Tensor) -> Tensor:
            time.sleep(0.2)
            return token_BTD

    class Working(nn.Module):
        def forward(self, token_BTD: Tensor) -> Tensor:
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                token_BTD = token_BTD + 1
            return token_BTD

    token_BTD = torch.zeros(1, 2, 4)
    assert seconds_of(Waiting(), token_BTD) < 0.02 <= seconds_of(Working(), token_BTD)


def test_threads_are_as_many_after_the_choice_as_before(loaded: Checkpoint) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        faster(loaded.detector)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_precision_is_chosen_by_measuring(loaded: Checkpoint) -> None:
    assert faster(loaded.detector) in ("float32", "bfloat16")
    assert SingleModelScorer(loaded, "cpu").precision in ("float32", "bfloat16")


def test_a_gpu_computes_in_bfloat16_and_a_cpu_that_emulates_it_does_not() -> None:
    assert preferred_precision("cuda") == "bfloat16"
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert preferred_precision("cpu") == "float32"
    assert preferred_precision("cpu") in ("float32", "bfloat16")
