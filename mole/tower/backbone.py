"""Backbone weights: loads an open_clip or timm ViT from a tag or a file, under any of the usual parameter names."""

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from mole.architecture import Architecture
from mole.errors import ModelError
from mole.tower.hub import allocated, architecture_of, build, download
from mole.tower.quantization import FORMAT as PACKED
from mole.tower.quantization import unpack
from mole.tower.timm_vit import TimmTower
from mole.tower.vit import Tower

HUGGING_FACE = (
    (r"^vision_model\.", ""),
    (r"^embeddings\.class_embedding$", "class_embedding"),
    (r"^embeddings\.patch_embedding\.", "conv1."),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^pre_layrnorm\.", "ln_pre."),
    (r"^post_layernorm\.", "ln_post."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm1\.", ".ln_1."),
    (r"\.layer_norm2\.", ".ln_2."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
)
"""Patterns of Hugging Face's parameter names of a CLIP vision model, and open_clip's names."""
FEATURE_PARAMETERS = frozenset({"ln_post.weight", "ln_post.bias", "proj"})
"""The parameters that compute the feature from the last block's class token."""
BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.")


def load_tower(name: str, source: str | Path, architecture: Architecture | None = None) -> Tower:
    """Load a frozen image tower.

    Args:
        name: the model's name in open_clip or timm.
        source: a local file, or the tag of pretrained weights, which the library downloads.
        architecture: its shape, if neither library knows the name.

    Returns:
        The tower, float32, in evaluation mode, frozen.

    Raises:
        ModelError: the weights cannot be read or do not fit.
    """
    shape = architecture or architecture_of(name)
    state = read_weights(Path(source)) if Path(source).is_file() else download(name, str(source))
    return assemble(shape, state, str(source))


def assemble(shape: Architecture, state: Mapping[str, Tensor], origin: str) -> Tower:
    """Build a tower and load its weights; all or none.

    Args:
        shape: the tower's shape; weights that end at a block, without `FEATURE_PARAMETERS`, may have fewer blocks.
        state: weights under open_clip's names, or those of the library that builds the tower.
        origin: the source of the weights, for the error message.

    Raises:
        ModelError: keys are missing, unexpected or of another shape, or values are not finite; it lists them.
    """
    if shape.library is not None:
        trunk, state = build(shape, state)
        check_state({name: tensor.shape for name, tensor in trunk.state_dict().items()}, state, origin)
        check_finite(state, origin)
        trunk = allocated(trunk)
        trunk.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
        return TimmTower(trunk.eval()).requires_grad_(False).eval()
    projects = not FEATURE_PARAMETERS.isdisjoint(state)
    if not projects:
        held = len({found[1] for found in map(BLOCK.match, state) if found})
        shape = shape.model_copy(update={"layers": min(max(held, 1), shape.layers)})
    with torch.device("meta"):
        tower = Tower(shape, projects=projects)
    check_state({name: tensor.shape for name, tensor in tower.state_dict().items()}, state, origin)
    check_finite(state, origin)
    tower.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return tower.requires_grad_(False).eval()


def check_state(wanted: Mapping[str, torch.Size], state: Mapping[str, Tensor], origin: str) -> None:
    """Check that a state dict has exactly the parameters of a model.

    Args:
        wanted: the model's shapes by name.
        state: the state dict.
        origin: the source of the weights, for the error message.

    Raises:
        ModelError: keys are missing, unexpected or of another shape; it lists them.
    """
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    misshapen = [
        f"{name} {list(state[name].shape)} for {list(shape)}"
        for name, shape in wanted.items()
        if name in state and state[name].shape != shape
    ]
    if missing or unexpected or misshapen:
        raise ModelError(
            f"{origin} does not fit the model: missing {missing}, unexpected {unexpected}, of another shape {misshapen}"
        )


def check_finite(state: Mapping[str, Tensor], origin: str) -> None:
    """Check that all values are finite real numbers; one that is not makes every logit NaN.

    Args:
        state: the state dict; tensors of any shape and dtype.
        origin: the source of the weights, for the error message.

    Raises:
        ModelError: some are not; it lists their keys.
    """
    odd = [
        name
        for name, tensor in state.items()
        if tensor.is_complex() or not (bool(tensor.float().sum().isfinite()) or bool(tensor.float().isfinite().all()))
    ]
    if odd:
        raise ModelError(f"{origin} holds values that are not finite numbers: {sorted(odd)}")


def unpickle(path: Path) -> dict[str, Tensor]:
    """Read a pickle of named tensors, of any shape and dtype and on the CPU; nothing that it names is run.

    Raises:
        ModelError: the file cannot be read, or holds anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as reason:
        raise ModelError(f"{path} contains more than tensors and is not unpickled: {reason}") from reason
    except Exception as reason:  # a damaged pickle raises whatever its opcodes stumble over
        raise ModelError(f"cannot read weights from {path}: {reason}") from reason
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    named = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not named or not all(isinstance(tensor, Tensor) and not tensor.is_sparse for tensor in state.values()):
        raise ModelError(f"{path} holds something else than a dictionary of tensors")
    return dict(state)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read an image tower's weights under open_clip's names.

    Args:
        path: safetensors (plain, quantized, or int8 with scales) or a pickle of tensors only.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                packed = (file.metadata() or {}).get("format") == PACKED
            state = unpack(path) if packed else load_file(path)
        else:
            state = unpickle(path)
        return _rename(_dequantise(state))
    except (OSError, RuntimeError, ValueError, SafetensorError, IndexError, KeyError, TypeError) as reason:
        raise ModelError(f"cannot read weights from {path}: {reason!r}") from reason


def _dequantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dequantize int8 matrices to float32: `name`, shape (O, I) or more, times its row scales `name_scale`, (O,)."""
    full = {}
    for name, tensor in state.items():
        if not name.endswith("_scale"):
            scale = state.get(f"{name}_scale")
            full[name] = tensor if scale is None else tensor.float() * scale.view(-1, *[1] * (tensor.dim() - 1))
    return full


def _rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map open_clip's, OpenAI's and Hugging Face's parameter names to open_clip's names of the image tower.

    Every shape and dtype stays, except that Hugging Face's projections are joined or transposed.
    """
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if any(name.startswith("visual.") for name in state):  # a whole CLIP of open_clip or OpenAI
        return {name.removeprefix("visual."): tensor for name, tensor in state.items() if name.startswith("visual.")}
    if any(name.startswith("vision_model.") for name in state):
        return _from_hugging_face(state)
    return dict(state)


def _from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map names, join queries, keys and values of shape (D, D) each to (3 D, D), and transpose the projection."""
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == "visual_projection.weight":
            named["proj"] = tensor.T
        elif name.startswith("vision_model.") and not name.endswith("position_ids"):
            ours = name
            for pattern, replacement in HUGGING_FACE:
                ours = re.sub(pattern, replacement, ours)
            named[ours] = tensor
    for kind in ("weight", "bias"):
        for name in [name for name in named if name.endswith(f".self_attn.q_proj.{kind}")]:
            base = name.removesuffix(f"self_attn.q_proj.{kind}")
            parts = [named.pop(f"{base}self_attn.{part}_proj.{kind}") for part in "qkv"]
            named[f"{base}attn.in_proj_{kind}"] = torch.cat(parts)
    return named


def tower_digest(state: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of a tower's weights over names, shapes and float32 bytes, sorted by name."""
    content = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().float().contiguous()
        content.update(f"{name} {list(tensor.shape)}\n".encode())
        content.update(tensor.numpy().tobytes())
    return content.hexdigest()
