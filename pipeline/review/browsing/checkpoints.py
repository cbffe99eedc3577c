"""Checkpoints: which of the models that judged a table are at hand, and what they tell of their scores."""

import math

from mole.config import Description, describe
from mole.views.preprocess import Preprocess
from pipeline.registry import EMBEDDED, Registry, locate
from pipeline.scan.table.views import partitions
from pipeline.storage import storage

NAMED = ("crop", "resize", "crop-4", "crop-9", "texture-1", "texture-4", "texture-9", "resize+crop")
SPECS = {spec.fingerprint: spec for spec in map(Preprocess.named, NAMED)}
"""The usual views by their fingerprint, which each row of the table has."""


class Checkpoints:
    """The checkpoints of a table's models, as far as they are at hand.

    Args:
        table: the folder URL of the verdict table.
        model: a checkpoint or a registry that a user named; None leaves it at the others.
        registry: the folder URL of a registry; None if there is none.

    Raises:
        SettingsError: what the user named is not there.
        ModelError: it is no checkpoint.
        StorageError: a store does not answer.
    """

    def __init__(self, table: str, model: str | None = None, registry: str | None = None) -> None:
        wanted = {folder.rpartition("=")[2] for folder in partitions(storage.absolute(table))}
        own = [] if model is None else [describe(locate(model))]
        self._found: dict[str, Description] = {}
        for description in (*own, describe(locate(EMBEDDED))):
            self._found.setdefault(description.digest, description)
        if registry is not None:
            storage.demand(registry, "--registry")
            versions = Registry(registry)
            for digest in wanted.intersection(versions.digests()) - self._found.keys():
                self._found[digest] = describe(locate(versions.version(digest), digest))

    def of(self, digest: str) -> Description | None:
        """Return a model's checkpoint, without its weights; None if it is not at hand."""
        return self._found.get(digest)

    def thresholds(self) -> dict[str, tuple[float, float]]:
        """Return the thresholds of the models at hand, in logits: real below, generated from there up."""
        read = {digest: description.calibration for digest, description in self._found.items()}
        return {digest: (own.real_below, own.generated_above) for digest, own in read.items()}

    def spec(self, digest: str, fingerprint: str | None) -> Preprocess | None:
        """Return the views by which a model judged, None if nothing tells."""
        description = self._found.get(digest)
        if description is not None and description.config.preprocess_fingerprint == fingerprint:
            return description.preprocess
        return SPECS.get(fingerprint or "")

    def chance(self, digest: str, logit: float, known: tuple[float, float]) -> float | None:
        """Return the probability that a logit would have had in a run.

        Args:
            digest: of the model.
            logit: the one that is asked for.
            known: logit and probability of a row of that run, which tell the prevalence that it assumed.
        """
        description = self._found.get(digest)
        if description is None or not 0 < known[1] < 1:
            return None
        own = description.calibration
        shift = math.log(known[1] / (1 - known[1])) - (known[0] + own.bias) / own.temperature
        return 0.5 * (1 + math.tanh(((logit + own.bias) / own.temperature + shift) / 2))
