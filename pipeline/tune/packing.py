"""Packing: bring a tower to a wanted size by what its embedding feels on calibration images, and measure the loss.

Legend: B batch, S side of a view, D feature, O outputs and I inputs of a matrix.
"""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional

from mole.backbone import load_tower
from mole.checkpoint import sha256_of
from mole.errors import SettingsError
from mole.preprocess import Preprocess
from mole.quantization import LARGEST, Coded, encode, inverse_factor, pack
from mole.sensitivity import Survey, steps, survey
from mole.tower import normalise
from mole.view import view
from pipeline import storage
from pipeline.commandline import JobSettings
from pipeline.tune.data.samples import Sample, load

BATCH = 8
ROUNDS = 4  # of the search for the scale; each takes seconds
SLACK = 0.003  # error passing changes the entropy of the codes a little
RESIZE, CROP = Preprocess(mode="resize"), Preprocess(mode="crop")


class PackSettings(JobSettings):
    """Bring a tower to a wanted size, and say how far its embeddings moved on photographs that it was not fitted to.

    exit codes: 0 packed, 2 a setting or a place that is not there, 4 the tower cannot be used, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_PACK_"

    source: Path = Field(description="the tower's weights, safetensors or pickle")
    output: Path = Field(description="the packed file")
    manifest: Path = Field(description="a CSV of images: path, label, generator, source")
    held_out: str = Field("coco", description="the source to measure on")
    backbone: str = Field("ViT-B-16-quickgelu", description="open_clip's name of the tower")
    images: PositiveInt = Field(128, description="calibration images")
    most_bytes: PositiveInt = Field(49_500_000, description="of the packed file")
    seed: NonNegativeInt = Field(0, description="of the choice of images")


def choose(samples: Sequence[Sample], *, images: int, held_out: str, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Choose calibration images over all sources, and the photographs to measure on, from a source left out.

    Returns:
        Calibration samples and held-out samples.

    Raises:
        SettingsError: the held-out source is not there.
    """
    left = [sample for sample in samples if sample.source == held_out]
    rest = [sample for sample in samples if sample.source != held_out]
    if not left:
        there = sorted({sample.source for sample in samples})
        raise SettingsError(f"held-out source {held_out!r} is not among {there}")
    return random.Random(seed).sample(rest, min(images, len(rest))), left


def pack_tower(source: Path, target: Path, backbone: str, *, calibration: Sequence[Sample], most_bytes: int) -> float:
    """Pack a tower so that its file is at most so large.

    Args:
        source: the tower's weights in any form that `mole.backbone` reads.
        target: the packed file.
        backbone: open_clip's name.
        calibration: images that tell what the embedding feels.
        most_bytes: of the packed file.

    Returns:
        The scale of the steps that was found.

    Raises:
        SettingsError: the weights are not there, or the size cannot be reached.
    """
    storage.demand(str(source), "--source")
    tower = load_tower(backbone, source).state_dict()
    felt = survey(tower, _batches(calibration), seed=0)
    upper = {name: inverse_factor(feeling.hessian_II / feeling.weight) for name, feeling in felt.matrices.items()}
    rest = {name: tensor for name, tensor in tower.items() if name not in upper}
    scale = _search(tower, felt, upper, round(most_bytes * (1 - SLACK)))
    coded = {
        name: encode(tower[name], steps(tower[name], felt.matrices[name], factor_II, scale), factor_II)
        for name, factor_II in upper.items()
    }
    pack(target, coded, rest, {"model": backbone, "source": source.name, "source_sha256": sha256_of(source)})
    if target.stat().st_size > most_bytes:
        raise SettingsError(f"the packed tower must be at most {most_bytes} bytes, got {target.stat().st_size}")
    return scale


def measure(source: Path, packed: Path, backbone: str, samples: Sequence[Sample]) -> Tensor:
    """Compare the embeddings of two forms of a tower.

    Returns:
        cosine_N, float32 (N,), of each sample's resized view.
    """
    towers = [load_tower(backbone, path) for path in (source, packed)]
    with torch.inference_mode():
        features = [
            torch.cat([functional.normalize(tower(batch), dim=-1) for batch in _batches(samples, views=(RESIZE,))])
            for tower in towers
        ]
    return (features[0] * features[1]).sum(dim=-1)


def _batches(samples: Sequence[Sample], views: Sequence[Preprocess] = (CROP, RESIZE)) -> list[Tensor]:
    """Decode and view, one view after the other in turn; normalised float32 (B, 3, S, S)."""
    seen = [view(load(sample).numpy(), views[number % len(views)]) for number, sample in enumerate(samples)]
    batches = (np.stack(seen[start : start + BATCH]) for start in range(0, len(seen), BATCH))
    return [normalise(torch.from_numpy(pixels_B3SS), RESIZE) for pixels_B3SS in batches]


def _search(tower: Mapping[str, Tensor], felt: Survey, upper: Mapping[str, Tensor], wanted: int) -> float:
    """Find the scale of the steps at which plain rounding takes the wanted size; each factor is (I, I)."""
    matrices = {name: tower[name] for name in upper}
    weights = sum(tensor.numel() for tensor in matrices.values())
    fixed = 2 * sum(tensor.numel() for name, tensor in tower.items() if name not in upper)
    fixed += 4 * sum(len(tensor) for tensor in matrices.values())
    scale = 1e-4
    for _ in range(ROUNDS):
        size = fixed
        for name, weight_OI in matrices.items():
            step_O = steps(weight_OI, felt.matrices[name], upper[name], scale)
            code_OI = (weight_OI / step_O[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8)
            size += len(Coded(code_OI, step_O).stream())
        scale *= math.exp2((size - wanted) * 8 / weights)
    return scale
