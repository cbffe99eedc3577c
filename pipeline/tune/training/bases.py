"""The base: the checkpoint that a training begins from, or one that is made where none stands on the wanted tower yet.

Those that are made lie beside a registry's versions, where every machine of a cluster finds them; none is promoted.
"""

import tempfile
from pathlib import Path

from mole.beginning import begin
from mole.config import Description, describe
from mole.errors import SettingsError
from pipeline import registry, storage
from pipeline.registry import Registry
from pipeline.tune.training.recipe import SHAPE, Recipe
from pipeline.tune.training.settings import FinetuneSettings

BASES = "bases"


def begin_from(settings: FinetuneSettings, place: Registry) -> Description:
    """Find the checkpoint that gives the tower, the shape and perhaps the adapters.

    Raises:
        ModelError: what is there is no checkpoint, or the tower to begin on cannot be used.
        SettingsError: it is not there, or the adapters are to be kept in another shape.
    """
    shape = settings.model_dump(include=SHAPE - {"aux_coef"} | {"view"})
    if settings.init_from is not None and any(value is not None for value in shape.values()):
        raise SettingsError("--init-from goes on with its own view, blocks and ranks; leave these flags out")
    if settings.base_tower is not None and settings.pretrained is not None:
        return begun_on(settings.base_tower, settings.pretrained, place)
    return describe(registry.locate(named(settings, place)))


def named(settings: FinetuneSettings, place: Registry) -> str:
    """Name that checkpoint so that every machine of the cluster finds it.

    Raises:
        SettingsError: the adapters to begin from are nowhere.
    """
    if settings.base_tower is not None:
        return bases_of(place).url  # of which the task's digest is the one
    return settings.base if settings.init_from is None else place.place_of(settings.init_from)


def base_of(recipe: Recipe, place: Registry) -> tuple[str, Description]:
    """Find or make the checkpoint that gives the tower and the shape, and name it for every machine of a cluster.

    Raises:
        ModelError: what is there is no checkpoint, or the tower to begin on cannot be used.
        SettingsError: it is not there.
    """
    if recipe.base_tower is not None and recipe.pretrained is not None:
        return bases_of(place).url, begun_on(recipe.base_tower, recipe.pretrained, place)
    return recipe.base, describe(registry.locate(recipe.base))


def bases_of(place: Registry) -> Registry:
    """Find the bases that were made for a registry."""
    return Registry(storage.join(place.url, BASES))


def begun_on(tower: str, pretrained: str, place: Registry) -> Description:
    """Make a base on a tower, and keep it with its registry; the same tower and weights are the same base.

    Args:
        tower: open_clip's name, or timm's.
        pretrained: the tag of its weights, which are downloaded, or a local file, which is kept with the base.
        place: the registry.

    Raises:
        ModelError: the tower is not known, experts cannot stand in it, or its weights are not to be had or do not fit.
        StorageError: a store failed.
    """
    bases = bases_of(place)
    with tempfile.TemporaryDirectory() as folder:
        made = begin(Path(folder), tower, pretrained)
        digest = bases.add(made.folder, {})
    return describe(registry.locate(bases.url, digest))
