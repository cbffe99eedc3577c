"""Scorer: a detector as a callable class for Ray Data's `map_batches`."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mole.errors import SettingsError
from mole.measuring.calibration import PREVALENCE
from pipeline import registry
from pipeline.images.decode import Fault
from pipeline.library.detector import Detector, fault_result
from pipeline.library.image import from_column

ADDED_COLUMNS = ("logit", "probability", "verdict", "status", "detail")


class Scorer:
    """Scores the images of a column; the detector is loaded once in each Ray actor.

    It uses the faster precision, as a scan does; no verdict depends on that.

    Args:
        model: as for `Detector.load`; a path must be absolute, since an actor has a working folder of its own.
        column: the column of images: arrays as from `read_images`, bytes as from `read_binary_files` and
            `read_webdataset`, or paths and URLs. A value that is not an image, such as null or NaN, gets null scores.
        device: `cpu`, `cuda`, or `auto` for a GPU if Ray assigned one to the actor.
        prevalence: assumed share of generated images, for probabilities.

    Raises:
        SettingsError: the model does not exist.
        ModelError: it is not a checkpoint.
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
            batch: columns by name, each of shape (rows, ...), in Ray's `numpy` batch format.

        Returns:
            The same columns, and `logit`, `probability`, `verdict`, null for an image that cannot be read; `status`
            (`ok` or the fault) and `detail`, its reason in words.

        Raises:
            SettingsError: there is no such column, or a column to add exists already.
            ModelError: a logit is not finite.
        """
        if self.column not in batch:
            raise SettingsError(f"column must be one of {sorted(batch)}, got {self.column!r}")
        if taken := sorted(set(ADDED_COLUMNS) & set(batch)):
            raise SettingsError(f"the columns {taken} exist already; rename or drop them")
        images = [from_column(value) for value in batch[self.column]]
        scored = iter(self.detector.score_batch([image for image in images if not isinstance(image, Fault)]))
        results = [fault_result(image) if isinstance(image, Fault) else next(scored) for image in images]
        return {**batch, **{name: [getattr(result, name) for result in results] for name in ADDED_COLUMNS}}
