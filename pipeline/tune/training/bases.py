"""The base: the checkpoint that a training begins from, or one that is made where none stands on the wanted tower yet.

Those that are made lie beside a registry's versions, where every machine of a cluster finds them; none is promoted.
"""

import tempfile
from pathlib import Path

from mole.beginning import begin
from mole.config import Description, describe
from mole.errors import SettingsError
from pipeline import registry
from pipeline.registry import Registry
from pipeline.storage import storage
from pipeline.tune.training.recipe import DETECTOR_SETTINGS, Recipe
from pipeline.tune.training.settings import FinetuneSettings

BASES = "bases"


def base_checkpoint(recipe: Recipe, place: str) -> tuple[str, Description]:
    """Find the checkpoint whose tower, shape and view are taken.

    Args:
        recipe: which.
        place: the folder URL below which one is kept that has to be made; the same tower and weights are the same one.

    Returns:
        How every machine finds it, with its digest; and what it is.

    Raises:
        ModelError: what is there is no checkpoint, or the tower to begin on cannot be used: it is not known, experts
            cannot stand in it, or its weights are not to be had or do not fit.
        SettingsError: nothing is there.
        StorageError: a store failed.
    """
    if recipe.base_tower is None or recipe.pretrained is None:
        return recipe.base, describe(registry.locate(recipe.base))
    bases = Registry(storage.join(place, BASES))
    with tempfile.TemporaryDirectory() as folder:
        digest = bases.add(begin(Path(folder), recipe.base_tower, recipe.pretrained).folder, {})
    return bases.url, describe(registry.locate(bases.url, digest))


def starting_checkpoint(settings: FinetuneSettings, place: Registry) -> tuple[str, Description]:
    """Find the checkpoint that gives the tower, the shape and perhaps the adapters.

    Returns:
        How every machine finds it, with its digest; and what it is.

    Raises:
        ModelError: it is no checkpoint, or the tower to begin on cannot be used.
        SettingsError: it is not there, or the adapters are to be kept in another shape.
        StorageError: a store failed.
    """
    if settings.init_from is None:
        return base_checkpoint(settings, place.url)
    shape = settings.model_dump(include=DETECTOR_SETTINGS - {"aux_coef"} | {"view", "base_tower"})
    if any(value is not None for value in shape.values()):
        raise SettingsError("--init-from goes on with its own tower, view, blocks and ranks; leave these flags out")
    found = place.place_of(settings.init_from)
    return found, describe(registry.locate(found))
