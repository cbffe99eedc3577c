"""Tiny seeded towers that timm builds, one of each kind that the detector stands on, and timm's own to compare with."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from mole.architecture import Architecture, Library
from mole.checkpoint import save_checkpoint, sha256_of
from mole.config import Backbone, DetectorConfig
from mole.model.detector import MoLE
from mole.tower.backbone import load_tower
from mole.views.preprocess import Preprocess
from tests.tiny import described, draw_adapters


def tiny(model: str, pool: str, *, projects: bool = False, **other: Any) -> Architecture:
    """Shrink a model of timm."""
    library = Library.model_validate({"model": model, "pool": pool, "projects": projects})
    sizes = {"image_size": 64, "patch_size": 16, "width": 64, "layers": 4, "heads": 4, "embed_dim": 64} | other
    return Architecture(**sizes, quick_gelu=False, library=library)


SIGLIP = tiny("vit_base_patch16_siglip_224", "map")
PE = tiny("vit_pe_core_base_patch16_224", "map", projects=True, embed_dim=32, heads=2)
DINOV3 = tiny("vit_base_patch16_dinov3", "token")
KINDS = {
    "siglip": SIGLIP,
    "pe": PE,
    "dinov3": DINOV3,
    "dinov3-gated": tiny("vit_small_plus_patch16_dinov3", "token"),
    "dinov2-registers": tiny("vit_base_patch14_reg4_dinov2", "token"),
    "eva02-clip": tiny("eva02_base_patch16_clip_224", "token", projects=True, embed_dim=32),
    "mean": tiny("vit_base_patch16_siglip_gap_224", "avg"),
    "own-angles": tiny("vit_base_patch16_rope_mixed_224", "token"),
}
"""SigLIP 2, PE and DINOv3, and what else the same two classes of timm can be: gated MLPs, registers, norms in the MLP,
the mean of patches, angles of each block's own."""


def timms(shape: Architecture, seed: int = 0) -> Any:
    """Let timm build its own model of a shape, with weights drawn large enough that images differ."""
    library = shape.library
    assert library is not None
    model: Any = timm.create_model(
        library.model,
        num_classes=shape.embed_dim if library.projects else 0,
        global_pool=library.pool,
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.width,
        depth=shape.layers,
        num_heads=shape.heads,
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model.requires_grad_(False).eval()


def weights(shape: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """Draw the weights of a shape, by timm's names."""
    return dict(timms(shape, seed).state_dict())


def timm_checkpoint(folder: Path, shape: Architecture, config: DetectorConfig, adapters: int = 0) -> Path:
    """Write a checkpoint on a tiny tower, with drawn adapters.

    Args:
        folder: where it goes.
        shape: of the tower.
        config: experts, reads and head.
        adapters: the seed of what would be trained.
    """
    folder.mkdir(parents=True)
    file = folder / "tower.safetensors"
    save_file(weights(shape), file)
    detector = MoLE(load_tower("tiny", file, shape), config)
    torch.manual_seed(adapters)
    draw_adapters(detector)
    side, half = shape.image_size, (0.5, 0.5, 0.5)
    spec = Preprocess(mode="resize", size=side, short_side=side, mean=half, std=half)
    backbone = Backbone(name="tiny", file=file.name, file_sha256=sha256_of(file), architecture=shape)
    save_checkpoint(folder, detector, described(backbone, config, spec))
    return folder
