"""Packing: quantise a tower to a target file size by its sensitivity on calibration images, and measure the loss.

Legend: B batch, N images, S side of a view, R reads, D width or feature, O outputs and I inputs of a matrix.
"""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator
from scipy.optimize import brentq
from torch import Tensor
from torch.nn import functional

from mole.checkpoint import sha256_of
from mole.errors import SettingsError
from mole.tower.backbone import BLOCK, FEATURE_PARAMETERS, load_tower
from mole.tower.quantization import MAX_CODE, QuantizedMatrix, encode, inverse_factor, pack
from mole.tower.sensitivity import TowerSensitivity, measure_sensitivity, relative_steps, steps
from mole.tower.vit import Tower, normalise
from mole.views.preprocess import Preprocess
from mole.views.view import view
from pipeline.command.settings import JobSettings, split_commas
from pipeline.storage import storage
from pipeline.tune.data.samples import Sample, load

BATCH_SIZE = 8
MIN_IMAGES = 2  # different images
HEADER_BYTES = 120  # bytes per tensor in the header of the file
TOLERANCE = 0.005  # octaves of the scale; one octave is about one bit per weight
SIZE_MARGIN = 0.003  # error feedback changes the entropy of the codes slightly
RESIZE, CROP = Preprocess(mode="resize"), Preprocess(mode="crop")


class PackSettings(JobSettings):
    """Quantise a tower to a target file size, and measure the change of its embeddings on held-out images.

    exit codes: 0 packed, 2 invalid settings or a missing input, 4 the tower cannot be used, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_PACK_"
    renamed: ClassVar[dict[str, str]] = {"most_bytes": "max_bytes"}

    source: Path = Field(description="weights of the tower, safetensors or pickle")
    output: Path = Field(description="packed file to write")
    manifest: Path = Field(description="CSV of images with path, label, generator and source")
    held_out: str = Field("coco", description="source of the images to measure on")
    backbone: str = Field("ViT-B-16-quickgelu", description="name of the tower in open_clip")
    reads: Annotated[tuple[PositiveInt, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="blocks after which the class token is read, for example 6,8,10; blocks above the last are left "
        "out (default: the whole tower, read at its output feature)",
    )
    images: PositiveInt = Field(128, description="number of calibration images")
    max_bytes: PositiveInt = Field(49_500_000, description="maximum size of the packed file, bytes")
    seed: NonNegativeInt = Field(0, description="random seed of the choice of images")

    @field_validator("reads")
    @classmethod
    def _rising(cls, reads: tuple[int, ...]) -> tuple[int, ...]:
        if list(reads) != sorted(set(reads)):
            raise ValueError("must be in ascending order")
        return reads


def split_samples(
    samples: Sequence[Sample], *, images: int, held_out: str, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Choose calibration images from all sources but one, and the images of that source for the measurement.

    Returns:
        Calibration samples and held-out samples.

    Raises:
        SettingsError: there is no such source.
    """
    left = [sample for sample in samples if sample.source == held_out]
    rest = [sample for sample in samples if sample.source != held_out]
    if not left:
        there = sorted({sample.source for sample in samples})
        raise SettingsError(f"held-out source {held_out!r} is not among {there}")
    return random.Random(seed).sample(rest, min(images, len(rest))), left


def pack_tower(
    source: Path,
    target: Path,
    backbone: str,
    *,
    calibration: Sequence[Sample],
    max_bytes: int,
    reads: Sequence[int] = (),
) -> float:
    """Pack a tower into a file of at most a given size.

    Args:
        source: the tower's weights, in any format that `mole.tower.backbone` reads.
        target: the packed file.
        backbone: name of the tower in open_clip.
        calibration: images on which the sensitivity is measured.
        max_bytes: maximum size of the packed file.
        reads: blocks after which the class token is read; blocks above the last are left out. Empty for the whole tower
            and its feature.

    Returns:
        The scale of the quantisation steps.

    Raises:
        SettingsError: the weights do not exist, the tower is not CLIP's, a read is above the last block, there are too
            few calibration images, or the size cannot be reached.
    """
    storage.require_exists(str(source), "--source")
    whole = load_tower(backbone, source)
    if not whole.plain:
        raise SettingsError(f"--backbone must be a plain ViT of CLIP, got {backbone!r}")
    tower = _below(whole, reads)
    if reads and len(calibration) < MIN_IMAGES:
        raise SettingsError(f"--images must be at least {MIN_IMAGES} with --reads, got {len(calibration)}")
    sensitivities = measure_sensitivity(tower, batches(calibration), 0, reads=reads)
    upper = {
        name: inverse_factor(sensitivity.hessian_II / sensitivity.weight)
        for name, sensitivity in sensitivities.matrices.items()
    }
    rest = {name: tensor for name, tensor in tower.items() if name not in upper}
    scale = _search(tower, sensitivities, upper, round(max_bytes * (1 - SIZE_MARGIN)))
    coded = {
        name: encode(tower[name], steps(tower[name], sensitivities.matrices[name], factor_II, scale), factor_II)
        for name, factor_II in upper.items()
    }
    note = {"model": backbone, "source": source.name, "source_sha256": sha256_of(source)}
    pack(target, coded, rest, note | ({"reads": ",".join(map(str, reads))} if reads else {}))
    if target.stat().st_size > max_bytes:
        raise SettingsError(f"the packed tower must be at most {max_bytes} bytes, got {target.stat().st_size}")
    return scale


def read_tower(tower: Tower, pixels: Sequence[Tensor], reads: Sequence[int]) -> Tensor:
    """Compute what a detector reads of images.

    Args:
        tower: up to the last read at least.
        pixels: normalised batches (B, 3, S, S), float32.
        reads: blocks after which the class token is read; empty for the feature.

    Returns:
        read_RND, float32; R is 1 for the feature.
    """
    with torch.inference_mode():
        if not reads:
            return torch.cat([tower(batch_B3SS) for batch_B3SS in pixels])[None]
        return torch.cat([_class_tokens(tower, batch_B3SS, reads) for batch_B3SS in pixels], dim=1)


class EmbeddingShift(NamedTuple):
    """Similarity of a tower's embeddings before and after packing, in one view of the images.

    Attributes:
        view: name of the view.
        cosine_RN: cosine similarity, float32.
        centred_RN: the same after subtracting the original mean over images; float32.
    """

    view: str
    cosine_RN: Tensor
    centred_RN: Tensor


def measure(
    source: Path, packed: Path, backbone: str, samples: Sequence[Sample], reads: Sequence[int] = ()
) -> list[EmbeddingShift]:
    """Compare a tower with its packed form by what a detector reads of them.

    Args:
        source: the tower's original weights.
        packed: the same tower, packed.
        backbone: name of the tower in open_clip.
        samples: images that are not used for calibration.
        reads: as of `pack_tower`.

    Returns:
        For the resized view and for the centre crop.
    """
    before, after = load_tower(backbone, source), load_tower(backbone, packed)
    found = []
    for spec in (RESIZE, CROP):
        pixels = batches(samples, views=(spec,))
        before_RND, after_RND = read_tower(before, pixels, reads), read_tower(after, pixels, reads)
        cosine_RN, centred_RN = (cosines(before_RND, after_RND, centred=centred) for centred in (False, True))
        found.append(EmbeddingShift(spec.name, cosine_RN, centred_RN))
    return found


def cosines(before_RND: Tensor, after_RND: Tensor, *, centred: bool) -> Tensor:
    """Compare what is read of a tower with what is read of its packed form.

    Args:
        before_RND: of the original tower, float32.
        after_RND: of the packed tower, on the same images.
        centred: subtract the original mean over images from both, since it carries no information on any image.

    Returns:
        cosine_RN, float32.
    """
    mean_R1D = before_RND.mean(dim=1, keepdim=True) if centred else torch.zeros(())
    return functional.cosine_similarity(before_RND - mean_R1D, after_RND - mean_R1D, dim=-1)


def _class_tokens(tower: Tower, pixels_B3SS: Tensor, reads: Sequence[int]) -> Tensor:
    """Run the tower up to the last read; token_RBD, float32."""
    token_BTD, found = tower.embed(pixels_B3SS), {}
    for number, block in enumerate(tower.transformer.resblocks[: max(reads)], start=1):
        token_BTD = block(token_BTD)
        found[number] = token_BTD[:, 0]
    return torch.stack([found[read] for read in reads])


def _below(tower: Tower, reads: Sequence[int]) -> dict[str, Tensor]:
    """Select the weights up to the last read, or all if the feature is read; by name, in the shapes of the tower.

    Raises:
        SettingsError: a read is above the last block.
    """
    state, blocks = tower.state_dict(), len(tower.transformer.resblocks)
    if not reads:
        return state
    if max(reads) > blocks:
        raise SettingsError(f"--reads must lie in [1, {blocks}], the blocks of the tower, got {max(reads)}")
    kept = {}
    for name, tensor in state.items():
        block = BLOCK.match(name)
        if name not in FEATURE_PARAMETERS and (block is None or int(block[1]) < max(reads)):
            kept[name] = tensor
    return kept


def batches(samples: Sequence[Sample], views: Sequence[Preprocess] = (CROP, RESIZE)) -> list[Tensor]:
    """Decode samples and make one view of each, alternating; normalised float32 (B, 3, S, S)."""
    seen = [view(load(sample).numpy(), views[number % len(views)]) for number, sample in enumerate(samples)]
    stacks = (np.stack(seen[start : start + BATCH_SIZE]) for start in range(0, len(seen), BATCH_SIZE))
    return [normalise(torch.from_numpy(pixels_B3SS), RESIZE) for pixels_B3SS in stacks]


def _search(
    tower: Mapping[str, Tensor], sensitivities: TowerSensitivity, upper: Mapping[str, Tensor], target_bytes: int
) -> float:
    """Find the scale of the steps at which plain rounding gives the target size; each factor is (I, I)."""
    matrices = {name: tower[name] for name in upper}
    fixed = 2 * sum(tensor.numel() for name, tensor in tower.items() if name not in upper)
    fixed += 6 * sum(len(tensor) for tensor in matrices.values()) + HEADER_BYTES * (len(tower) + 2 * len(upper))

    def excess(octave: float) -> int:
        """Return the number of bytes above the target."""
        size = fixed
        for name, weight_OI in matrices.items():
            step_O = steps(weight_OI, sensitivities.matrices[name], upper[name], math.exp2(octave))
            code_OI = (weight_OI / step_O[:, None]).round().clamp(-MAX_CODE, MAX_CODE).to(torch.int8)
            size += len(QuantizedMatrix(code_OI, step_O).stream())
        return size - target_bytes

    grains = {name: relative_steps(sensitivities.matrices[name], factor_II) for name, factor_II in upper.items()}
    relative = torch.cat([tower[name].square().mean(dim=1).sqrt() / grain_O for name, grain_O in grains.items()])
    fine, coarse = math.log2(float(relative[relative > 0].min()) / MAX_CODE), math.log2(float(relative.max()))
    if excess(fine) <= 0 or excess(coarse) > 0:
        return math.exp2(fine)  # the codes have no finer steps, or the file will be refused
    return math.exp2(brentq(excess, fine, coarse, xtol=TOLERANCE))
