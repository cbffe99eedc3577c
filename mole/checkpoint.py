"""Checkpoint: a folder with `config.json` and `adapters.safetensors`, identified by a digest of both."""

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mole.config import ADAPTERS, CONFIG, Backbone, CheckpointConfig, Description, DetectorConfig, describe
from mole.errors import ModelError
from mole.measuring.calibration import Calibration
from mole.model.detector import MoLE, stored
from mole.tower.backbone import check_finite, check_state, load_tower, tower_digest, unpickle
from mole.tower.hub import architecture_of
from mole.tower.vit import Tower
from mole.views.preprocess import Preprocess

UNIVERSAL_FAKE_DETECT = Backbone(name="ViT-L-14-quickgelu", pretrained="openai")
"""The tower of Ojha et al. 2023, which open_clip downloads."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: the detector in evaluation mode, and its description."""

    description: Description
    detector: MoLE

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes the tower's input."""
        return self.description.config.preprocess

    @property
    def calibration(self) -> Calibration:
        """How logits become probabilities and verdicts."""
        return self.description.config.calibration


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a checkpoint.

    Returns:
        Its detector in float32 on the CPU, in evaluation mode.

    Raises:
        ModelError: a file is missing or damaged, weights do not fit or are no numbers, or the tower is not the one it
            was trained on.
    """
    description = describe(folder)
    state, tower, origin = read_adapters(folder), tower_of(description), str(folder / ADAPTERS)
    check_state(_shapes(tower, description.config.detector), state, origin)
    detector = MoLE(tower, description.config.detector)
    load_adapters(detector, state, origin)
    return Checkpoint(description, detector.eval())


def _shapes(tower: Tower, config: DetectorConfig) -> dict[str, torch.Size]:
    """Return the shapes of a checkpoint's tensors by name, without taking any memory for them."""
    held = [*tower.parameters(), *tower.buffers()]
    empty = {id(tensor): nn.Parameter(tensor.detach().to("meta"), requires_grad=False) for tensor in held}
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in stored(MoLE(copy.deepcopy(tower, empty), config)).items()}


def read_adapters(folder: Path) -> dict[str, Tensor]:
    """Read the trained weights of a checkpoint.

    Returns:
        Tensors by the names of `stored`, with the shapes and dtypes of the detector that they were saved from.

    Raises:
        ModelError: the file is missing or damaged.
    """
    try:
        return load((folder / ADAPTERS).read_bytes())
    except (OSError, SafetensorError) as reason:
        raise ModelError(f"{folder / ADAPTERS} is damaged: {reason}") from reason


def load_adapters(detector: MoLE, state: dict[str, Tensor], origin: str) -> None:
    """Load trained weights into a detector; all or none.

    Raises:
        ModelError: keys are missing, unexpected or of another shape, or values are not finite; it lists them.
    """
    check_state({name: tensor.shape for name, tensor in stored(detector).items()}, state, origin)
    kernel = detector.head.kernel
    if kernel is not None:
        kernel.adopt(next(tensor.dtype for name, tensor in state.items() if name.endswith(".centre_CP")))
    wanted = stored(detector)
    fitting = {name: state[name].to(tensor.dtype) for name, tensor in wanted.items()}
    check_finite(fitting, origin)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(fitting[name])


def save_checkpoint(folder: Path, detector: MoLE, config: CheckpointConfig) -> Description:
    """Write a checkpoint; the caller puts the tower's file there, if it has one.

    Raises:
        ModelError: the configuration is not that of the detector.
    """
    if config.detector != detector.config:
        raise ModelError(f"the checkpoint's detector is {config.detector}, the one to save is {detector.config}")
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().contiguous() for name, tensor in stored(detector).items()}
    (folder / ADAPTERS).write_bytes(save(state))
    (folder / CONFIG).write_text(config.model_dump_json(indent=2) + "\n")
    return describe(folder)


def adopt_linear_head(file: Path, folder: Path, backbone: Backbone = UNIVERSAL_FAKE_DETECT) -> Description:
    """Make a checkpoint without experts from a published linear head, such as UniversalFakeDetect's `fc_weights.pth`.

    Args:
        file: `weight` (1, F) and `bias` (1,), a pickle of tensors saved on any device.
        folder: the checkpoint's folder.
        backbone: the tower that the head was trained on.

    Raises:
        ModelError: the file holds something else, or the head is for another tower.

    Source: Ojha et al. 2023, arXiv:2302.10174; its views are centre crops, its threshold is a probability of 0.5.
    """
    features = (backbone.architecture or architecture_of(backbone.name)).embed_dim
    state = unpickle(file)
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    wanted = {"weight": [1, features], "bias": [1]}
    if shapes != wanted:
        raise ModelError(f"{file} holds {shapes}; a head for {backbone.name} is {wanted}")
    check_finite(state, str(file))
    spec = Preprocess(mode="crop")
    config = CheckpointConfig(
        backbone=backbone,
        detector=DetectorConfig(adapted_blocks=0, shared_rank=0, expert_ranks=()),
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        calibration=Calibration(),
        provenance={"head": file.name, "sha256": sha256_of(file)},
        licence="of the head's publisher",
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ADAPTERS).write_bytes(save({f"head.0.{name}": tensor for name, tensor in state.items()}))
    (folder / CONFIG).write_text(config.model_dump_json(indent=2) + "\n")
    return describe(folder)


def sha256_of(file: Path) -> str:
    """Compute the SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tower_of(description: Description) -> Tower:
    """Load the frozen tower and check that it is the one the adapters were trained on.

    Raises:
        ModelError: it is missing, damaged, or another one.
    """
    backbone = description.config.backbone
    if backbone.file is None:
        if backbone.pretrained is None:
            raise ModelError(f"{description.folder / CONFIG} names neither a file nor a tag of the tower's weights")
        tower = load_tower(backbone.name, backbone.pretrained, backbone.architecture)
        _demand_same(description, tower_digest(tower.state_dict()) if backbone.sha256 else None, backbone.sha256)
    else:
        file = description.folder / backbone.file
        if not file.is_file():
            raise ModelError(f"{description.folder} needs the tower's weights at {file}; put the file there")
        _demand_same(description, sha256_of(file), backbone.file_sha256)  # before anything in it is read
        tower = load_tower(backbone.name, file, backbone.architecture)
    return tower


def _demand_same(description: Description, found: str | None, wanted: str | None) -> None:
    if found != wanted:
        raise ModelError(f"{description.folder} was trained on the tower {wanted}, this one is {found}")
