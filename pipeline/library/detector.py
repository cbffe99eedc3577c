"""Detector: loads a model once and scores images in the same steps as a scan.

Shapes: C views of an image, S side of a view.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from typing import Self, get_args

import numpy as np
import torch
from PIL import Image

from mole.checkpoint import Checkpoint, load_checkpoint
from mole.errors import SettingsError
from mole.inference.heatmap import HeatMap, heat_maps
from mole.inference.precision import Precision
from mole.inference.scoring import SharedBackboneScorer
from mole.measuring.calibration import PREVALENCE
from mole.views.view import Pixels, views
from pipeline import registry
from pipeline.images.decode import Fault
from pipeline.library.image import CHANNELS, ImageLike, Stream, decode_input
from pipeline.records import Status

CPU_BATCH, GPU_BATCH = 16, 256
"""Images per forward pass, as in a scan."""
DEVICE = re.compile(r"auto|cpu|cuda(:(?P<number>\d+))?")


@dataclass(frozen=True)
class Result:
    """The result for an image, with the names of the columns of a verdict table.

    Attributes:
        status: `ok`, or the fault.
        detail: the reason of the fault in words, None if ok.
        logit: higher means more likely generated; this and the following are None if the image was not scored.
        probability: that the image is generated, at the detector's prevalence.
        verdict: `generated`, `real` or `unsure`.
        gates: mean router weight of each separate expert.
    """

    status: Status
    detail: str | None = None
    logit: float | None = None
    probability: float | None = None
    verdict: str | None = None
    gates: tuple[float, ...] | None = None


class Detector:
    """Scores images with one model; the same bytes get the same verdict as in a scan.

    Args:
        checkpoint: the loaded model.
        device: `cpu`, `cuda`, or `auto` for a GPU if available.
        prevalence: assumed share of generated images, for probabilities; verdicts do not depend on it.
        precision: float32 gives the same numbers on every machine; None selects the faster one by timing, as in a scan.

    Raises:
        SettingsError: the device, the prevalence or the precision is invalid, or there is no such GPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        prevalence: float = PREVALENCE,
        precision: Precision | None = "float32",
    ) -> None:
        require_settings(device, prevalence, precision)
        on_gpu = device != "cpu" and torch.cuda.is_available()
        self.checkpoint = checkpoint
        self.prevalence = prevalence
        self._batch = GPU_BATCH if on_gpu else CPU_BATCH
        self._scorer = SharedBackboneScorer([checkpoint], device, precision=precision, batch_size=self._batch)

    @classmethod
    def load(
        cls,
        model: str | PathLike[str] = registry.EMBEDDED,
        *,
        device: str = "auto",
        prevalence: float = PREVALENCE,
        precision: Precision | None = "float32",
    ) -> Self:
        """Load a detector.

        Args:
            model: `embedded` for the shipped one, or the path or URL of a checkpoint, of a registry's version, or of a
                registry, for its promoted version.
            device: `cpu`, `cuda`, or `auto` for a GPU if available.
            prevalence: assumed share of generated images, for probabilities.
            precision: float32 gives the same numbers on every machine; None selects the faster one by timing, as in a
                scan.

        Raises:
            SettingsError: the model does not exist, the device, the prevalence or the precision is invalid, or there is
                no such GPU.
            ModelError: it is not a checkpoint, or is damaged.
            StorageError: the store does not answer.
        """
        require_settings(device, prevalence, precision)
        checkpoint = load_checkpoint(registry.locate(str(model)))
        return cls(checkpoint, device=device, prevalence=prevalence, precision=precision)

    def score(self, image: ImageLike) -> Result:
        """Score one image; one that cannot be read gives a result without a verdict.

        Raises:
            TypeError: it is of an unsupported type.
            ValueError: it is an array of another shape, or a closed file or image.
            ModelError: a logit is not finite.
        """
        if isinstance(image, list | tuple | set | frozenset | Iterator) and not isinstance(image, Stream):
            raise TypeError(f"score takes one image, got {type(image).__name__}; score_batch takes several")
        [result] = self._scored([self._views_of(image)])
        return result

    def score_batch(self, images: Iterable[ImageLike]) -> list[Result]:
        """Score images in order; those that cannot be read give results without a verdict.

        Args:
            images: of any mix of types; consumed one batch at a time.

        Raises:
            TypeError: it is a single image, or one of them is of an unsupported type.
            ValueError: one of them is an array of another shape, or a closed file or image.
            ModelError: a logit is not finite.
        """
        require_images(images)
        waiting = enumerate(images)
        results: list[Result] = []
        while batch := list(islice(waiting, self._batch)):
            results += self._scored([self._views_of(image, f"image {number}: ") for number, image in batch])
        return results

    def heat_map(self, image: ImageLike) -> list[HeatMap]:
        """Compute heat maps of an image; see `mole.inference.heatmap` for what they show.

        Returns:
            A map for each of the model's views.

        Raises:
            SettingsError: the image cannot be read.
            TypeError: it is of an unsupported type.
            ValueError: it is an array of another shape, or a closed file or image.
        """
        picture = decode_input(image)
        if isinstance(picture, Fault):
            raise SettingsError(f"there is no map of an image that is {picture.status}: {picture.detail}")
        return heat_maps(self.checkpoint, picture.pixels_3HW)

    def _scored(self, seen: list[Pixels | Fault]) -> Iterator[Result]:
        """Score one batch of images; uint8 (C, 3, S, S) each."""
        found = [view_C3SS for view_C3SS in seen if not isinstance(view_C3SS, Fault)]
        if not found:
            return (fault_result(fault) for fault in seen if isinstance(fault, Fault))
        [scores] = self._scorer.score([torch.from_numpy(np.concatenate(found))], crops=self.checkpoint.preprocess.crops)
        calibration = self.checkpoint.calibration
        probabilities = calibration.probability(scores.logit, self.prevalence).astype(np.float32)
        rows = zip(scores.logit, probabilities, calibration.verdict(scores.logit), scores.gates, strict=True)
        scored = (
            Result(Status.OK, None, float(logit), float(chance), str(word), tuple(map(float, gates)))
            for logit, chance, word, gates in rows
        )
        return (fault_result(one) if isinstance(one, Fault) else next(scored) for one in seen)

    def _views_of(self, image: ImageLike, named: str = "") -> Pixels | Fault:
        """Decode an image and cut its views; uint8 (C, 3, S, S).

        Raises:
            TypeError: it is of an unsupported type; the message begins with `named`.
            ValueError: it is an array of another shape, or a closed file or image.
        """
        spec = self.checkpoint.preprocess
        try:
            picture = decode_input(image, spec.region)
        except TypeError as reason:
            raise TypeError(f"{named}{reason}") from reason
        except ValueError as reason:
            raise ValueError(f"{named}{reason}") from reason
        return picture if isinstance(picture, Fault) else views(picture.pixels_3HW, spec)


def require_settings(device: object, prevalence: object, precision: object) -> None:
    """Check the settings before anything is loaded.

    Raises:
        SettingsError: one of them is invalid, or there is no such GPU.
    """
    found = DEVICE.fullmatch(device) if isinstance(device, str) else None
    if found is None:
        raise SettingsError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:' and a number, got {device!r}")
    gpus = torch.cuda.device_count()
    if found[0].startswith("cuda") and int(found["number"] or 0) >= gpus:
        known = f"{gpus} that torch can use" if gpus else "no GPU that torch can use"
        raise SettingsError(f"device {device!r}, but this machine has {known}; leave device out, or name 'cpu'")
    if not isinstance(prevalence, int | float | np.floating) or not 0 < prevalence < 1:
        raise SettingsError(f"prevalence must be greater than 0 and less than 1, got {prevalence!r}")
    if precision not in (None, *get_args(Precision)):
        names = " or ".join(map(repr, get_args(Precision)))
        raise SettingsError(f"precision must be {names}, or None for the faster one, got {precision!r}")


def require_images(images: object) -> None:
    """Check that a value is an iterable of images and not a single image.

    Raises:
        TypeError: it is a single image, or not iterable.
    """
    one = isinstance(images, str | bytes | bytearray | memoryview | PathLike | Image.Image | Stream)
    if isinstance(images, np.ndarray):
        one = images.ndim == 2 or (images.ndim == 3 and images.shape[2] in CHANNELS)
    if one:
        raise TypeError(f"score_batch takes several images, got one ({type(images).__name__}); score takes one")
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise TypeError(f"score_batch takes a list or another iterable of images, got {type(images).__name__}")


def fault_result(fault: Fault) -> Result:
    """Return the result of an image without a verdict."""
    return Result(fault.status, fault.detail)
