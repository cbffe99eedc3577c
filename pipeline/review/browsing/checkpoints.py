"""Checkpoints: the available checkpoints of a table's models, for thresholds, views and probabilities."""

import math

from mole.config import Description, describe
from mole.views.preprocess import Preprocess
from pipeline.registry import EMBEDDED, Registry, locate
from pipeline.scan.table.views import partitions
from pipeline.storage import storage

COMMON_VIEWS = ("crop", "resize", "crop-4", "crop-9", "texture-1", "texture-4", "texture-9", "resize+crop")
SPECS = {spec.fingerprint: spec for spec in map(Preprocess.named, COMMON_VIEWS)}
"""Common preprocessing specs by fingerprint, which each row of the table has."""


class Checkpoints:
    """The available checkpoints of a table's models.

    Args:
        table: the folder URL of the verdict table.
        model: a checkpoint or a registry named by the user; None for none.
        registry: the folder URL of a registry; None for none.

    Raises:
        SettingsError: a named path does not exist.
        ModelError: it is not a checkpoint.
        StorageError: a store does not answer.
    """

    def __init__(self, table: str, model: str | None = None, registry: str | None = None) -> None:
        wanted = {folder.rpartition("=")[2] for folder in partitions(storage.absolute(table))}
        own = [] if model is None else [describe(locate(model))]
        self._found: dict[str, Description] = {}
        for description in (*own, describe(locate(EMBEDDED))):
            self._found.setdefault(description.digest, description)
        if registry is not None:
            storage.require_exists(registry, "--registry")
            versions = Registry(registry)
            for digest in wanted.intersection(versions.digests()) - self._found.keys():
                self._found[digest] = describe(locate(versions.version(digest), digest))

    def of(self, digest: str) -> Description | None:
        """Return the description of a model's checkpoint; None if it is not available."""
        return self._found.get(digest)

    def thresholds(self) -> dict[str, tuple[float, float]]:
        """Return the thresholds of the available models in logits: real below, generated from there up."""
        read = {digest: description.calibration for digest, description in self._found.items()}
        return {digest: (own.real_below, own.generated_above) for digest, own in read.items()}

    def spec(self, digest: str, fingerprint: str | None) -> Preprocess | None:
        """Return the preprocessing of a model's row, None if unknown."""
        description = self._found.get(digest)
        if description is not None and description.config.preprocess_fingerprint == fingerprint:
            return description.preprocess
        return SPECS.get(fingerprint or "")

    def chance(self, digest: str, logit: float, known: tuple[float, float]) -> float | None:
        """Return the probability of a logit at the prevalence of a run.

        Args:
            digest: the model's digest.
            logit: the logit.
            known: logit and probability of a row of that run, from which its prevalence follows.
        """
        description = self._found.get(digest)
        if description is None or not 0 < known[1] < 1:
            return None
        own = description.calibration
        shift = math.log(known[1] / (1 - known[1])) - (known[0] + own.bias) / own.temperature
        return 0.5 * (1 + math.tanh(((logit + own.bias) / own.temperature + shift) / 2))
