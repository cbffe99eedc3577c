"""Checkpoint: what can be known of the model that a table's rows name by its digest: thresholds, and measured rates."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mole.config import ADAPTERS, CONFIG, CheckpointConfig, describe
from mole.errors import MoleError
from pipeline.registry import EMBEDDED, PROMOTED, Registry, locate
from pipeline.review.evidence.rates import EVALUATION, RATES, Measurement, collection_of, measurements
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

SHIPPED = "the detector that is shipped with MoLE Scan"
FOUND = (*STORE_FAULTS, MoleError, ValidationError, ValueError)
"""What may be wrong with a place where a checkpoint once was; the next place is tried."""


@dataclass(frozen=True)
class Checkpoint:
    """The model behind some rows.

    Attributes:
        digest: its name.
        name: as people call it.
        config: its settings.
        measured: what is known of its errors, what says most about other images first.
    """

    digest: str
    name: str
    config: CheckpointConfig
    measured: tuple[Measurement, ...]

    @property
    def collection(self) -> str:
        """The real images that its threshold was measured on."""
        return collection_of(self.config)


def find(digest: str, places: Iterable[str]) -> Checkpoint | None:
    """Find a model by its digest; its weights are not loaded.

    Args:
        digest: as the table's partition names it.
        places: checkpoint folders and registries that may have it; those that are gone are passed over.

    Returns:
        None if none of them has it.
    """
    for place in dict.fromkeys([EMBEDDED, *places]):
        try:
            found = _at(place, digest)
        except FOUND:
            continue
        if found is not None:
            return found
    return None


def places_of(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Name the places where runs had their models from, those of the last run first.

    Args:
        runs: settings of runs, the last first.
    """
    for settings in runs:
        for name in ("registry", "model", "shadow"):
            place = settings.get(name)
            if isinstance(place, str) and place not in (EMBEDDED, PROMOTED):
                yield place


def _at(place: str, digest: str) -> Checkpoint | None:
    if place == EMBEDDED:
        return _described(locate(EMBEDDED), digest, SHIPPED)
    version = Registry(place).version(digest)
    if storage.exists(storage.join(version, CONFIG)):
        config = CheckpointConfig.model_validate_json(storage.read(storage.join(version, CONFIG)))
        return Checkpoint(digest, f"a version of {place}", config, _measured(config, digest, version))
    if storage.is_local(place):
        return _described(Path(storage.absolute(place)), digest, place)
    with tempfile.TemporaryDirectory() as folder:  # the digest takes the adapters; the tower stays where it is
        for name in (CONFIG, ADAPTERS):
            (Path(folder) / name).write_bytes(storage.read(storage.join(place, name)))
        return _described(Path(folder), digest, place, papers=place)


def _described(folder: Path, digest: str, name: str, *, papers: str | None = None) -> Checkpoint | None:
    found = describe(folder)
    if found.digest != digest:
        return None
    return Checkpoint(digest, name, found.config, _measured(found.config, digest, papers or str(folder)))


def _measured(config: CheckpointConfig, digest: str, folder: str) -> tuple[Measurement, ...]:
    papers = {}
    for name in (RATES, EVALUATION):
        url = storage.join(folder, name)
        if storage.exists(url):
            papers[name] = storage.read(url)
    return tuple(measurements(config, digest, papers))
