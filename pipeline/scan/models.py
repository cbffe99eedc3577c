"""Models of a run: references to the detectors that score its images."""

from collections.abc import Iterable
from dataclasses import dataclass

from mole.config import Description, describe, require_shared_backbone
from pipeline import registry


@dataclass(frozen=True)
class ModelRef:
    """A reference to a detector.

    Attributes:
        location: its checkpoint folder or its registry, absolute, or `embedded`.
        description: its configuration, calibration and digest, read without loading weights.
    """

    location: str
    description: Description

    @property
    def digest(self) -> str:
        """The model's version: the digest of its checkpoint."""
        return self.description.digest


def describe_models(locations: Iterable[str]) -> list[ModelRef]:
    """Describe the models of a run, which must share a backbone and its preprocessing.

    Args:
        locations: as `--model` and `--shadow` name them.

    Raises:
        SettingsError: a location holds no model, or the models have different backbones.
        ModelError: a checkpoint cannot be used.
    """
    models = [ModelRef(registry.absolute(location), describe(registry.locate(location))) for location in locations]
    require_shared_backbone([model.description for model in models])
    return models
