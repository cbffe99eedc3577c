"""Untrained checkpoint: a tower with freshly initialized experts and head, which a training starts from."""

import shutil
from pathlib import Path

import torch

from mole.checkpoint import save_checkpoint, sha256_of
from mole.config import Backbone, CheckpointConfig, Description, DetectorConfig
from mole.measuring.calibration import Calibration
from mole.model.detector import MoLE
from mole.tower.backbone import load_tower, tower_digest
from mole.tower.hub import architecture_of, licence_of, views_of


def create_untrained(folder: Path, name: str, source: str) -> Description:
    """Write a checkpoint whose experts do not change the tower's output; deterministic.

    Args:
        folder: the checkpoint's folder.
        name: the tower's name in open_clip or timm.
        source: the tag of its weights, or a local file of weights, which is copied into the folder.

    Returns:
        The checkpoint; its views have the size, mean and std that the tower was trained with.

    Raises:
        ModelError: the tower is unknown or cannot hold experts, or its weights are unavailable or do not fit.
    """
    file, shape = Path(source), architecture_of(name)
    held = file.is_file()
    tag = None if held else source
    spec = views_of(name, tag, shape)
    tower = load_tower(name, source, shape)
    backbone = Backbone(
        name=name,
        pretrained=tag,
        sha256=tower_digest(tower.state_dict()),
        architecture=shape if shape.library else None,  # a later release of timm may read the name differently
    )
    if held:
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"tower{file.suffix}"
        shutil.copy(file, copy)
        backbone = backbone.model_copy(update={"file": copy.name, "file_sha256": sha256_of(copy)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks = len(tower.transformer.resblocks)
        ends = () if tower.features is not None else (blocks,)  # a quantized tower may end at the deepest read
        detector = MoLE(tower, DetectorConfig(reads=ends))
    config = CheckpointConfig(
        backbone=backbone,
        detector=detector.config,
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        calibration=Calibration(),
        provenance={"begun": "experts and head as they are drawn, nothing trained"},
        licence=f"adapters and head: Apache-2.0; tower: {licence_of(name, tag)}",
    )
    return save_checkpoint(folder, detector, config)
