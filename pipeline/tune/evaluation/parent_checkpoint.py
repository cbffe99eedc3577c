"""Parent checkpoint: the one that a version was trained from, looked up by its provenance."""

from collections.abc import Iterator
from dataclasses import dataclass

from mole.config import CONFIG, Description, describe
from mole.errors import ModelError
from pipeline import registry
from pipeline.registry import EMBEDDED, Registry
from pipeline.storage import storage


@dataclass(frozen=True)
class Origin:
    """A checkpoint that others are compared with.

    Attributes:
        model: its folder or URL, readable from every machine of a cluster.
        described: its description.
    """

    model: str
    described: Description

    @property
    def digest(self) -> str:
        """The digest of the checkpoint."""
        return self.described.digest


def origin_at(model: str) -> Origin:
    """Read the checkpoint at a place.

    Raises:
        ModelError: there is none.
    """
    return Origin(model, describe(registry.locate(model)))


def origin_of(version: Description, place: Registry) -> Origin | None:
    """Find the checkpoint that a version was trained from.

    Args:
        version: its provenance names the digest of its parent; without one, the parent is the shipped detector.
        place: the registry that may contain the parent.

    Returns:
        The parent, or None if it is not found.
    """
    wanted = version.config.provenance.get("parent")
    for model in (EMBEDDED,) if wanted is None else _places(version, place, str(wanted)):
        try:
            found = origin_at(model)
        except ModelError:
            continue  # it was there when the version was made, but is gone
        if wanted in (None, found.digest):
            return found
    return None


def _places(version: Description, place: Registry, parent: str) -> Iterator[str]:
    """List where a parent may be: this registry, the package, and the places that the training read it from."""
    if storage.exists(storage.join(place.version(parent), CONFIG)):
        yield place.version(parent)
    yield EMBEDDED
    recipe = version.config.provenance.get("recipe", {})
    yield from (str(recipe[name]) for name in ("init_from", "base") if recipe.get(name))
