"""The origin: the checkpoint that a version began from, found again by what the version says of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from mole.config import CONFIG, Description, describe
from mole.errors import ModelError
from pipeline import registry
from pipeline.registry import EMBEDDED, Registry
from pipeline.storage import storage


@dataclass(frozen=True)
class Origin:
    """A checkpoint that something is held against.

    Attributes:
        model: its place, as every machine of a cluster finds it.
        described: its settings.
    """

    model: str
    described: Description

    @property
    def digest(self) -> str:
        """Its name in every table."""
        return self.described.digest


def origin_at(model: str) -> Origin:
    """Read the checkpoint at a place.

    Raises:
        ModelError: there is none.
    """
    return Origin(model, describe(registry.locate(model)))


def origin_of(version: Description, place: Registry) -> Origin | None:
    """Find what a version began from.

    Args:
        version: its provenance names a parent by its digest; one that names none began from the shipped detector.
        place: the registry where the parent may lie.

    Returns:
        The parent, or None where the digest is found nowhere.
    """
    wanted = version.config.provenance.get("parent")
    for model in (EMBEDDED,) if wanted is None else _places(version, place, str(wanted)):
        try:
            found = origin_at(model)
        except ModelError:
            continue  # it lay there when the version was made, and does no more
        if wanted in (None, found.digest):
            return found
    return None


def _places(version: Description, place: Registry, parent: str) -> Iterator[str]:
    """Name the places where a parent may lie: this registry, the package, and where the training took it from."""
    if storage.exists(storage.join(place.version(parent), CONFIG)):
        yield place.version(parent)
    yield EMBEDDED
    recipe = version.config.provenance.get("recipe", {})
    yield from (str(recipe[name]) for name in ("init_from", "base") if recipe.get(name))
