"""A tiny seeded detector with every part of the real one, for tests that need a model and no download."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from mole.architecture import Architecture
from mole.checkpoint import save_checkpoint, sha256_of
from mole.config import Backbone, CheckpointConfig, DetectorConfig
from mole.measuring.calibration import Calibration
from mole.model.detector import MoLE, learned
from mole.tower.backbone import load_tower, tower_digest
from mole.tower.vit import Tower
from mole.training.step import fit_head
from mole.views.preprocess import Preprocess

SHAPE = Architecture(patch_size=32, width=64, layers=4, heads=4, embed_dim=32)
NULL = Architecture(patch_size=56, width=8, layers=1, heads=1, embed_dim=8)
"""Few patches and one block: a detector that costs next to nothing, for measuring what is around it."""
CONFIG = DetectorConfig(adapted_blocks=2, shared_rank=4, expert_ranks=(2, 3, 4))


def tiny_weights(seed: int = 0, shape: Architecture = SHAPE) -> dict[str, torch.Tensor]:
    """Draw a tower's weights, large enough that images differ in their logits."""
    torch.manual_seed(seed)
    return {name: torch.randn_like(tensor) * 0.2 for name, tensor in Tower(shape).state_dict().items()}


def draw_adapters(model: MoLE) -> None:
    """Draw what would be trained, from torch's present seed."""
    with torch.no_grad():
        for parameter in learned(model).values():
            parameter.copy_(torch.randn_like(parameter) * 0.3)


def described(backbone: Backbone, config: DetectorConfig, spec: Preprocess) -> CheckpointConfig:
    """Describe a checkpoint, with thresholds that give all three verdicts."""
    return CheckpointConfig(
        backbone=backbone,
        detector=config,
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        calibration=Calibration(real_below=-0.5, generated_above=0.5),
        licence="Apache-2.0",
    )


def tiny_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    adapters: int = 0,
    preprocess: Preprocess | None = None,
    blocks: int = 2,
    shape: Architecture = SHAPE,
    detector: DetectorConfig | None = None,
) -> Path:
    """Write a checkpoint with random adapters, and thresholds that give all three verdicts.

    Args:
        folder: where it goes.
        seed: of the tower.
        adapters: of what would be trained; those of one tower differ by it.
        preprocess: what the tower sees.
        blocks: how many are adapted.
        shape: of the tower.
        detector: experts, reads and head; what a head is fitted by is that of standard normal reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_weights(seed, shape), folder / "tower.safetensors")
    tower = load_tower("tiny", folder / "tower.safetensors", shape)
    digest = tower_digest(tower.state_dict())
    torch.manual_seed(torch.initial_seed() + adapters)
    config = detector or CONFIG.model_copy(update={"adapted_blocks": blocks})
    model = MoLE(tower, config)
    draw_adapters(model)
    if model.head.kernel is not None:
        feature_NF = torch.randn(2 * config.centres, model.head.kernel.turn_PF.shape[1])
        label_N = (torch.arange(len(feature_NF)) % 2).float()
        fit_head(model, feature_NF, label_N, torch.ones_like(label_N), 1e-3)
    backbone = Backbone(
        name="tiny",
        file="tower.safetensors",
        file_sha256=sha256_of(folder / "tower.safetensors"),
        sha256=digest,
        architecture=shape,
    )
    save_checkpoint(folder, model, described(backbone, config, preprocess or Preprocess()))
    return folder
