"""Checkpoint: finds the checkpoint of a model digest, with its thresholds and measured error rates."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mole.config import ADAPTERS, CONFIG, CheckpointConfig, describe
from mole.errors import MoleError
from pipeline.registry import EMBEDDED, PROMOTED, Registry, locate
from pipeline.review.analysis.rates import EVALUATION, RATES, Measurement, collection_of, measurements
from pipeline.runtime.scratch import scratch_folder
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

SHIPPED = "the detector shipped with MoLE Scan"
LOCATION_FAULTS = (*STORE_FAULTS, MoleError, ValidationError, ValueError)
"""Errors of a location that no longer has a checkpoint; the next one is tried."""


@dataclass(frozen=True)
class Checkpoint:
    """A model of the table.

    Attributes:
        digest: its digest.
        name: its description for people.
        config: its configuration.
        measured: its measured error rates, the most general first.
    """

    digest: str
    name: str
    config: CheckpointConfig
    measured: tuple[Measurement, ...]

    @property
    def collection(self) -> str:
        """The collection of real images that its threshold was measured on."""
        return collection_of(self.config)


def find(digest: str, places: Iterable[str]) -> Checkpoint | None:
    """Find the checkpoint of a digest; its weights are not loaded.

    Args:
        digest: the model's digest, as in the table's partition.
        places: checkpoint folders and registries to search; missing ones are skipped.

    Returns:
        None if none of them has it.
    """
    for place in dict.fromkeys([EMBEDDED, *places]):
        try:
            found = _at(place, digest)
        except LOCATION_FAULTS:
            continue
        if found is not None:
            return found
    return None


def places_of(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the model locations of runs, those of the newest run first.

    Args:
        runs: settings of runs, the newest first.
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
    with scratch_folder("mole-checkpoint-") as folder:  # the digest needs the adapters; the tower is not downloaded
        for name in (CONFIG, ADAPTERS):
            (folder / name).write_bytes(storage.read(storage.join(place, name)))
        return _described(folder, digest, place, papers=place)


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
