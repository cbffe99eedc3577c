"""A tiny seeded detector with every part of the real one, for tests that need a model and no download."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from mole.backbone import load_tower, tower_digest
from mole.calibration import Calibration
from mole.checkpoint import save_checkpoint, sha256_of
from mole.config import Architecture, Backbone, CheckpointConfig, DetectorConfig
from mole.detector import Detector, learned
from mole.preprocess import Preprocess
from mole.tower import Tower

SHAPE = Architecture(patch_size=32, width=64, layers=4, heads=4, embed_dim=32)
CONFIG = DetectorConfig(adapted_blocks=2, shared_rank=4, expert_ranks=(2, 3, 4))


def tiny_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Draw a tower's weights, large enough that images differ in their logits."""
    torch.manual_seed(seed)
    return {name: torch.randn_like(tensor) * 0.2 for name, tensor in Tower(SHAPE).state_dict().items()}


def tiny_checkpoint(
    folder: Path, *, seed: int = 0, adapters: int = 0, preprocess: Preprocess | None = None, blocks: int = 2
) -> Path:
    """Write a checkpoint with random adapters, and thresholds that give all three verdicts.

    Args:
        folder: where it goes.
        seed: of the tower.
        adapters: of what would be trained; those of one tower differ by it.
        preprocess: what the tower sees.
        blocks: how many are adapted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_weights(seed), folder / "tower.safetensors")
    tower = load_tower("tiny", folder / "tower.safetensors", SHAPE)
    digest = tower_digest(tower.state_dict())
    torch.manual_seed(torch.initial_seed() + adapters)
    config = CONFIG.model_copy(update={"adapted_blocks": blocks})
    detector = Detector(tower, config)
    with torch.no_grad():
        for parameter in learned(detector).values():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    spec = preprocess or Preprocess()
    written = CheckpointConfig(
        backbone=Backbone(
            name="tiny",
            file="tower.safetensors",
            file_sha256=sha256_of(folder / "tower.safetensors"),
            sha256=digest,
            architecture=SHAPE,
        ),
        detector=config,
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        calibration=Calibration(real_below=-0.5, generated_above=0.5),
        licence="Apache-2.0",
    )
    save_checkpoint(folder, detector, written)
    return folder
