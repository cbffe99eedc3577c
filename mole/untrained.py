"""The beginning: a checkpoint on a tower that nothing was trained on yet, whose tower and view a training takes."""

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
    """Write a checkpoint whose experts change nothing yet; the same tower gives the same one.

    Args:
        folder: where it goes.
        name: open_clip's name of the tower, or timm's.
        source: the tag of its weights, or a local file of them, which is copied beside the checkpoint.

    Returns:
        The checkpoint, whose views have the size, the mean and the std that the tower was trained on.

    Raises:
        ModelError: the tower is not known, experts cannot stand in it, or its weights are not to be had or do not fit.
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
        architecture=shape if shape.library else None,  # so that no later release of a library reads the name otherwise
    )
    if held:
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"tower{file.suffix}"
        shutil.copy(file, copy)
        backbone = backbone.model_copy(update={"file": copy.name, "file_sha256": sha256_of(copy)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ends = () if tower.features is not None else (len(tower.transformer.resblocks),)  # packed up to a read
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
