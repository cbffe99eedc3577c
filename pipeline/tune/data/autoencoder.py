"""Autoencoder: reconstructs photographs, so that the result differs from the original only by a decoder's traces.

The tiny autoencoder for FLUX.2's latents (madebyollin/taesd, MIT) is implemented here and read from its two files; the
numbers in their keys are positions in one flat sequence, with weightless layers in between. Any AutoencoderKL in
diffusers' folder layout works too, if diffusers is installed.

Legend: H, W of one picture, C channels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from zlib import crc32

import torch
from torch import Tensor
from torch.nn import functional

from mole.errors import ModelError
from pipeline.tune.data.augment import resize

try:
    from diffusers import AutoencoderKL  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    AutoencoderKL = None  # such a folder is refused with a hint to install diffusers

FACTOR = 8  # pixels per latent, in each direction
CLIP, FIRST_RELU = 0, 2  # positions of the decoder without weights that are not upsampling
GROUPS = 4


RECONSTRUCTION = "reconstruction"


class Reconstructor(Protocol):
    """Passes a picture through a model that leaves traces in it.

    Attributes:
        name: of the model, used as the generator of its output.
        kind: of the traces: `reconstruction` or `upsampling`.
    """

    name: str
    kind: str

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Reconstruct a picture at its own size.

        Args:
            pixels_3HW: uint8.
            largest: maximum short side, pixels; larger pictures are scaled down first.

        Returns:
            uint8 (3, height, width), with sides cropped to multiples of 8.
        """
        ...


def open_autoencoder(folder: str, device: str = "cpu", noise: float = 0.0) -> Reconstructor:
    """Open the autoencoder in a folder.

    Args:
        folder: with `taef2_encoder.pth` and `taef2_decoder.pth`, or with diffusers' `config.json` of an AutoencoderKL.
        device: device of an AutoencoderKL; taef2 runs on the CPU.
        noise: standard deviation of noise added to the latents of taef2, relative to theirs.

    Raises:
        ModelError: the folder has neither, diffusers is not installed, or noise is set for an AutoencoderKL.
    """
    path = Path(folder)
    if (path / "taef2_decoder.pth").is_file():
        return Autoencoder(path, noise=noise)
    if not (path / "config.json").is_file():
        raise ModelError(
            f"autoencoder {folder!r} contains neither taef2_encoder.pth and taef2_decoder.pth nor a config.json of "
            "diffusers; name a folder that does"
        )
    if noise:
        raise ModelError(
            f"noise {noise:g} is supported for taef2 only, and {folder!r} contains another autoencoder; leave it out"
        )
    return Diffusers(path, device)


class Diffusers:
    """An AutoencoderKL read by diffusers, frozen, float32."""

    def __init__(self, folder: Path, device: str) -> None:
        """Read `config.json` and the weights beside it.

        Raises:
            ModelError: diffusers is not installed, or cannot read the folder.
        """
        if AutoencoderKL is None:
            raise ModelError(f"autoencoder {str(folder)!r} needs diffusers: pip install diffusers")
        try:
            self._model = AutoencoderKL.from_pretrained(str(folder), local_files_only=True).to(device).eval()
        except (OSError, ValueError) as reason:
            raise ModelError(f"autoencoder {str(folder)!r} cannot be read: {reason}") from reason
        self.name, self.kind = folder.resolve().name, RECONSTRUCTION
        self._device = device

    @torch.inference_mode()
    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Encode to the mean of the latents and decode; uint8 (3, H, W) in and out, see `Reconstructor`."""
        scaled_3HW = bounded(pixels_3HW, largest).to(self._device)
        latent = self._model.encode(scaled_3HW[None].float() / 127.5 - 1).latent_dist.mode()
        again_3HW = self._model.decode(latent).sample[0]
        return ((again_3HW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()  # type: ignore[no-any-return]


def bounded(pixels_3HW: Tensor, largest: int) -> Tensor:
    """Scale down to a maximum short side, and crop the sides to multiples of 8; uint8 (3, H, W) in and out."""
    if min(pixels_3HW.shape[1:]) > largest:
        pixels_3HW = resize(pixels_3HW, largest)
    high, wide = (side - side % FACTOR for side in pixels_3HW.shape[1:])
    return pixels_3HW[:, :high, :wide]


def seed_of(pixels_3HW: Tensor) -> int:
    """Derive a seed from a picture, uint8 (3, H, W), so that random choices are reproducible."""
    return crc32(pixels_3HW.contiguous().numpy().tobytes())


class Autoencoder:
    """Encoder and decoder of taef2, frozen, float32."""

    kind = RECONSTRUCTION

    def __init__(self, folder: Path, *, noise: float = 0.0) -> None:
        """Read `taef2_encoder.pth` and `taef2_decoder.pth`.

        Args:
            folder: contains them.
            noise: standard deviation of noise added to the latents, relative to theirs, as an error of a generator's
                latents. It is seeded by the picture, so the result is reproducible.

        Raises:
            ModelError: one of them is missing.
        """
        files = [folder / f"taef2_{part}.pth" for part in ("encoder", "decoder")]
        for file in files:
            if not file.is_file():
                raise ModelError(f"autoencoder file {str(file)!r} does not exist")
        self._encoder, self._decoder = (
            {name: tensor.float() for name, tensor in torch.load(file, map_location="cpu", weights_only=True).items()}
            for file in files
        )
        self._noise, self.name = noise, f"taef2-noise-{noise:g}" if noise else "taef2"

    @torch.inference_mode()
    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Encode and decode; uint8 (3, H, W) in and out, see `Reconstructor`."""
        before_3HW = bounded(pixels_3HW, largest)
        state = before_3HW[None].float() / 255
        for place in range(_places(self._encoder)):
            stride = 1 if f"{place}.bias" in self._encoder else 2
            state = _layer(self._encoder, place, state, stride)
        if self._noise:
            chance = torch.Generator().manual_seed(seed_of(before_3HW))
            state = state + self._noise * state.std() * torch.randn(state.shape, generator=chance)
        for place in range(_places(self._decoder)):
            state = _between(place, state) if not _has(self._decoder, place) else _layer(self._decoder, place, state, 1)
        return (state[0].clamp(0, 1) * 255).round().to(torch.uint8)


def _places(weights: Mapping[str, Tensor]) -> int:
    """Count the positions of a sequence; weights are (C, C, 3, 3) and smaller."""
    return 1 + max(int(name.split(".")[0]) for name in weights)


def _has(weights: Mapping[str, Tensor], place: int) -> bool:
    """Return whether there is a convolution (C, C, 3, 3) or a block at a position."""
    return f"{place}.weight" in weights or f"{place}.conv.0.weight" in weights


def _between(place: int, state: Tensor) -> Tensor:
    """Apply a layer without weights: the soft clip of latents, a ReLU, or nearest upsampling; (1, C, H, W) float32."""
    if place == CLIP:
        return 3 * torch.tanh(state / 3)
    return state.relu() if place == FIRST_RELU else functional.interpolate(state, scale_factor=2, mode="nearest")


def _layer(weights: Mapping[str, Tensor], place: int, state: Tensor, stride: int) -> Tensor:
    """Apply a convolution or a block; (1, C, H, W) float32."""
    if f"{place}.weight" in weights:
        return functional.conv2d(state, weights[f"{place}.weight"], weights.get(f"{place}.bias"), stride, padding=1)
    if f"{place}.pool.0.weight" in weights:
        pooled = functional.conv2d(state, weights[f"{place}.pool.0.weight"])
        scale, shift = weights[f"{place}.pool.1.weight"], weights[f"{place}.pool.1.bias"]
        pooled = functional.group_norm(pooled, GROUPS, scale, shift)
        state = state + functional.conv2d(pooled.relu(), weights[f"{place}.pool.3.weight"])
    inner = state
    for step in (0, 2, 4):
        name = f"{place}.conv.{step}"
        inner = functional.conv2d(inner, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
        inner = inner.relu() if step < 4 else inner
    return (inner + state).relu()
