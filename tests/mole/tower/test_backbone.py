"""A tower loads from every name its weights go by, or says which keys do not fit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mole.errors import ModelError
from mole.model.detector import MoLE
from mole.tower.backbone import FEATURE_PARAMETERS, load_tower, read_weights, tower_digest
from mole.tower.hub import PUBLISHED, architecture_of, look_up
from tests.tiny import CONFIG, SHAPE, tiny_weights


def hugging_face(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write a tower's weights under Hugging Face's names."""
    parts = {
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "conv1.weight": "embeddings.patch_embedding.weight",
    }
    swaps = [("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm"), ("transformer.resblocks", "encoder.layers")]
    swaps += [
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("c_fc", "fc1"),
        ("c_proj", "fc2"),
        (".attn.", ".self_attn."),
    ]
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == "proj":
            named["visual_projection.weight"] = tensor.T.contiguous()
            continue
        other = parts.get(name, name)
        for ours, theirs in swaps:
            other = other.replace(ours, theirs)
        if "in_proj_" in other:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                named["vision_model." + other.replace("in_proj_", f"{part}_proj.")] = piece.contiguous()
        else:
            named["vision_model." + other] = tensor
    return named | {"text_model.final_layer_norm.weight": torch.ones(3), "logit_scale": torch.ones(1)}


def whole_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write a tower's weights as a part of a whole CLIP, as open_clip and OpenAI do."""
    return {f"visual.{name}": tensor for name, tensor in state.items()} | {"positional_embedding": torch.ones(2, 2)}


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices to int8 with a scale a row, where the tower's weights are whole multiples already."""
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.dim() == 2 and name.endswith("weight"):
            named[name], named[f"{name}_scale"] = (
                (tensor * 64).round().clamp(-127, 127).to(torch.int8),
                torch.full((len(tensor),), 1 / 64),
            )
        else:
            named[name] = tensor
    return named


@pytest.mark.parametrize("write", [dict, whole_clip, hugging_face])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_every_naming_gives_the_same_tower(write: object, suffix: str, tmp_path: Path) -> None:
    state, file = tiny_weights(), tmp_path / f"weights{suffix}"
    named = write(state)  # type: ignore[operator]
    save_file(named, file) if suffix == ".safetensors" else torch.save(named, file)
    assert tower_digest(load_tower("tiny", file, SHAPE).state_dict()) == tower_digest(state)


def test_int8_matrices_with_scales_are_unpacked(tmp_path: Path) -> None:
    save_file(rounded(tiny_weights()), tmp_path / "w.safetensors")
    state = read_weights(tmp_path / "w.safetensors")
    assert state.keys() == tiny_weights().keys()
    weight = state["transformer.resblocks.0.mlp.c_fc.weight"]
    assert (
        weight - tiny_weights()["transformer.resblocks.0.mlp.c_fc.weight"].clamp(-127 / 64, 127 / 64)
    ).abs().max() <= 1 / 128 + 1e-6


def test_a_mismatch_lists_the_keys(tmp_path: Path) -> None:
    state = tiny_weights()
    state["proj"] = torch.zeros(1, 1)
    state["odd.weight"] = state.pop("ln_pre.weight")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(
        ModelError, match=r"missing \['ln_pre.weight'\], unexpected \['odd.weight'\], of another shape \['proj \[1, 1\]"
    ):
        load_tower("tiny", tmp_path / "w.safetensors", SHAPE)


def below(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Cut a tower after some of its blocks, and take off what makes a feature."""
    kept = {f"transformer.resblocks.{number}" for number in range(blocks)}
    return {
        name: tensor
        for name, tensor in state.items()
        if name not in FEATURE_PARAMETERS
        and (not name.startswith("transformer.") or name.rpartition(".")[0][:23] in kept)
    }


def test_weights_that_end_at_a_block_load_as_the_tower_below(tmp_path: Path) -> None:
    save_file(below(tiny_weights(), 2), tmp_path / "w.safetensors")
    save_file(tiny_weights(), tmp_path / "whole.safetensors")
    short, whole = (load_tower("tiny", tmp_path / name, SHAPE) for name in ("w.safetensors", "whole.safetensors"))
    assert (len(short.transformer.resblocks), short.ln_post, short.proj) == (2, None, None)
    token_BTD = torch.randn(2, 3, SHAPE.width)
    for ours, theirs in zip(short.transformer.resblocks, whole.transformer.resblocks[:2], strict=True):
        assert torch.equal(ours(token_BTD), theirs(token_BTD))


def test_a_tower_with_a_feature_lacks_no_block(tmp_path: Path) -> None:
    state = tiny_weights()
    save_file(below(state, 2) | {"proj": state["proj"]}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"missing \['ln_post.bias', 'ln_post.weight', 'transformer.resblocks.2"):
        load_tower("tiny", tmp_path / "w.safetensors", SHAPE)


def test_a_gap_between_the_blocks_of_a_cut_tower_is_named(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in below(tiny_weights(), 3).items() if "resblocks.1." not in name}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"missing \['transformer.resblocks.1.attn.in_proj_bias'"):
        load_tower("tiny", tmp_path / "w.safetensors", SHAPE)


def test_no_head_is_put_on_a_feature_that_a_cut_tower_lacks(tmp_path: Path) -> None:
    save_file(below(tiny_weights(), 2), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="feature"):
        MoLE(load_tower("tiny", tmp_path / "w.safetensors", SHAPE), CONFIG)


class Payload:
    """An object that a pickle would build."""


def test_a_pickle_of_anything_but_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"visual.proj": Payload()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="is not unpickled"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_damaged_file_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(ModelError, match=name):
        read_weights(tmp_path / name)


def test_an_architecture_is_read_from_open_clip_and_an_unknown_one_is_refused() -> None:
    shape = architecture_of("ViT-L-14-quickgelu")
    assert (shape.width, shape.layers, shape.heads, shape.embed_dim, shape.quick_gelu) == (1024, 24, 16, 768, True)
    with pytest.raises(ModelError, match="ViT-Z"):
        architecture_of("ViT-Z")
    with pytest.raises(ModelError, match="not a plain ViT"):
        architecture_of("RN50")


def test_the_published_towers_are_as_open_clip_describes_them() -> None:
    assert {name: look_up(name) for name in PUBLISHED} == PUBLISHED


def test_the_shipped_detector_loads_without_open_clip_and_without_a_compiler() -> None:
    program = """
import sys
from pathlib import Path
import mole
from mole.checkpoint import load_checkpoint
load_checkpoint(Path(mole.__file__).parent / "embedded")
sys.exit(", ".join({"open_clip", "torchvision", "torch._dynamo"} & set(sys.modules)) or 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_weights_that_are_not_here_and_cannot_be_had_are_refused() -> None:
    with pytest.raises(ModelError, match="no-such-tag"):
        load_tower("ViT-B-32", "no-such-tag")


def test_the_shared_tower_loads_whole(shared: Path) -> None:
    tower = load_tower("ViT-B-16-quickgelu", shared / "weights" / "clip-vit-b16-openai-int8.safetensors")
    assert sum(parameter.numel() for parameter in tower.parameters()) == 86_192_640
