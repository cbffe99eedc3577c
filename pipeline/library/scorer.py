"""Scorer: a detector as Ray Data's `map_batches` wants one: columns of images in, columns of scores beside them out."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mole.errors import SettingsError
from mole.measuring.calibration import PREVALENCE
from pipeline import registry
from pipeline.images.decode import Fault
from pipeline.library.detector import Detector, fault_result
from pipeline.library.image import from_column

ADDED = ("logit", "probability", "verdict", "status", "detail")


class Scorer:
    """Scores the images of a column; Ray makes one in each of its actors, and the detector is loaded there.

    It runs in the precision that is faster there, as a scan does; no verdict depends on that.

    Args:
        model: as of `Detector.load`.
        column: holds the images: arrays, as `read_images` gives them, bytes, as `read_binary_files` and
            `read_webdataset` do, or paths and URLs. A value that is no image, as null or NaN are, gets null scores.
        device: `cpu`, `cuda`, or `auto` for a GPU where Ray gave the actor one.
        prevalence: share of generated images that probabilities assume.

    Raises:
        SettingsError: the model is not there.
        ModelError: it is no checkpoint.
    """

    def __init__(
        self,
        model: str = registry.EMBEDDED,
        *,
        column: str = "image",
        device: str = "auto",
        prevalence: float = PREVALENCE,
    ) -> None:
        self.column = column
        self.detector = Detector.load(model, device=device, prevalence=prevalence, precision=None)

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Score a batch.

        Args:
            batch: columns by name, as Ray hands them on in its `numpy` format.

        Returns:
            The same columns, and `logit`, `probability`, `verdict`, null for an image that cannot be read; `status`
            says what is wrong with it (`ok` if nothing is) and `detail` says it in words.

        Raises:
            SettingsError: there is no such column, or one that would be added is there.
            ModelError: a logit is not finite.
        """
        if self.column not in batch:
            raise SettingsError(f"column must be one of {sorted(batch)}, got {self.column!r}")
        if taken := sorted(set(ADDED) & set(batch)):
            raise SettingsError(f"the columns {taken} are there already; rename or drop them")
        images = [from_column(value) for value in batch[self.column]]
        scored = iter(self.detector.score_batch([image for image in images if not isinstance(image, Fault)]))
        results = [fault_result(image) if isinstance(image, Fault) else next(scored) for image in images]
        return {**batch, **{name: [getattr(result, name) for result in results] for name in ADDED}}
