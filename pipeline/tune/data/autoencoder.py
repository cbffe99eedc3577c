"""Autoencoder: what a photograph is passed through, so that it differs from itself by a decoder's traces alone.

The one that is always there is the tiny autoencoder for FLUX.2's latents (madebyollin/taesd, MIT), read from its two
files; numbers in the key names are places in one flat sequence, and what has no weights stands between them. Any
AutoencoderKL in diffusers' folder layout goes too, where diffusers is installed.

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
    AutoencoderKL = None  # such a folder is refused with the command that helps

FACTOR = 8  # pixels a latent, each way
CLIP, FIRST_RELU = 0, 2  # the places of the decoder that hold no weights and are no upsampling
GROUPS = 4


RECONSTRUCTION = "reconstruction"


class Reconstructor(Protocol):
    """What passes a picture through something that leaves traces in it.

    Attributes:
        name: which one, as the generator of what it makes.
        kind: of the traces: `reconstruction` or `upsampling`.
    """

    name: str
    kind: str

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Encode and decode; uint8 (3, H, W) in and out, short side at most `largest`, sides multiples of 8."""
        ...


def open_autoencoder(folder: str, device: str = "cpu", noise: float = 0.0) -> Reconstructor:
    """Open the autoencoder in a folder.

    Args:
        folder: with `taef2_encoder.pth` and `taef2_decoder.pth`, or with diffusers' `config.json` of an AutoencoderKL.
        device: where the latter runs; the tiny one runs on the CPU.
        noise: laid over the latents of the tiny one, in their own deviations.

    Raises:
        ModelError: neither is there, or diffusers is not installed, or it is to lay noise.
    """
    path = Path(folder)
    if (path / "taef2_decoder.pth").is_file():
        return Autoencoder(path, noise=noise)
    if not (path / "config.json").is_file():
        raise ModelError(
            f"autoencoder {folder!r} holds neither taef2_encoder.pth and taef2_decoder.pth nor a config.json of "
            "diffusers; name a folder that does"
        )
    if noise:
        raise ModelError(
            f"noise {noise:g} is laid over latents of taef2 alone, and {folder!r} holds another; leave it out"
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
        """Encode to the latents' mean and decode.

        Args:
            pixels_3HW: uint8.
            largest: a longer short side is brought down to this first, pixels.

        Returns:
            uint8 (3, height, width), the sides cut down to multiples of 8.
        """
        scaled_3HW = bounded(pixels_3HW, largest).to(self._device)
        latent = self._model.encode(scaled_3HW[None].float() / 127.5 - 1).latent_dist.mode()
        again_3HW = self._model.decode(latent).sample[0]
        return ((again_3HW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()  # type: ignore[no-any-return]


def bounded(pixels_3HW: Tensor, largest: int) -> Tensor:
    """Bring the short side down to a bound and cut the sides to multiples of 8; uint8 (3, H, W) in and out."""
    if min(pixels_3HW.shape[1:]) > largest:
        pixels_3HW = resize(pixels_3HW, largest)
    high, wide = (side - side % FACTOR for side in pixels_3HW.shape[1:])
    return pixels_3HW[:, :high, :wide]


def seed_of(pixels_3HW: Tensor) -> int:
    """Seed a draw by a picture, uint8 (3, H, W), so that it comes out the same whoever asks."""
    return crc32(pixels_3HW.contiguous().numpy().tobytes())


class Autoencoder:
    """Encoder and decoder of taef2, frozen, float32."""

    kind = RECONSTRUCTION

    def __init__(self, folder: Path, *, noise: float = 0.0) -> None:
        """Read `taef2_encoder.pth` and `taef2_decoder.pth`.

        Args:
            folder: where they lie.
            noise: laid over the latents, in their own deviations: what a generator's latents are off by. It is drawn
                by the picture, so that a picture always comes out the same.

        Raises:
            ModelError: one of them is missing.
        """
        files = [folder / f"taef2_{part}.pth" for part in ("encoder", "decoder")]
        for file in files:
            if not file.is_file():
                raise ModelError(f"autoencoder {str(file)!r} is no file")
        self._encoder, self._decoder = (
            {name: tensor.float() for name, tensor in torch.load(file, map_location="cpu", weights_only=True).items()}
            for file in files
        )
        self._noise, self.name = noise, f"taef2-noise-{noise:g}" if noise else "taef2"

    @torch.inference_mode()
    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Encode and decode.

        Args:
            pixels_3HW: uint8.
            largest: a longer short side is brought down to this first, pixels.

        Returns:
            uint8 (3, height, width), the sides cut down to multiples of 8.
        """
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
    """Count the places of a sequence; weights are (C, C, 3, 3) and smaller."""
    return 1 + max(int(name.split(".")[0]) for name in weights)


def _has(weights: Mapping[str, Tensor], place: int) -> bool:
    """Tell whether a convolution (C, C, 3, 3) or a block stands at a place."""
    return f"{place}.weight" in weights or f"{place}.conv.0.weight" in weights


def _between(place: int, state: Tensor) -> Tensor:
    """Apply what has no weights: the soft clip of latents, a ReLU, or nearest upsampling; (1, C, H, W) float32."""
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
