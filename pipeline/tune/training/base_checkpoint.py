"""Base checkpoint: the one that a training starts from, created first if training starts from a bare tower.

Created bases are stored beside a registry's versions, where every machine of a cluster can read them; none is promoted.
"""

from mole.config import Description, describe
from mole.errors import SettingsError
from mole.untrained import create_untrained
from pipeline import registry
from pipeline.registry import Registry
from pipeline.runtime.scratch import scratch_folder
from pipeline.storage import storage
from pipeline.tune.training.recipe import DETECTOR_SETTINGS, Recipe
from pipeline.tune.training.settings import FinetuneSettings

BASES_FOLDER = "bases"


def base_checkpoint(recipe: Recipe, place: str) -> tuple[str, Description]:
    """Find or create the checkpoint that provides tower, shape and view.

    Args:
        recipe: names the base, or a tower and its weights.
        place: URL of the folder below which a created base is stored; the same tower and weights give the same base.

    Returns:
        Where every machine finds the base, including its digest; and its description.

    Raises:
        ModelError: it is not a checkpoint, or the tower cannot be used: it is unknown, experts cannot be inserted into
            it, or its weights are unavailable or do not fit.
        SettingsError: nothing is there.
        StorageError: a store failed.
    """
    if recipe.base_tower is None or recipe.pretrained is None:
        return registry.absolute(recipe.base), describe(registry.locate(recipe.base))
    bases = Registry(storage.join(place, BASES_FOLDER))
    with scratch_folder("mole-training-") as folder:
        digest = bases.add(create_untrained(folder, recipe.base_tower, recipe.pretrained).folder, {})
    return bases.url, describe(registry.locate(bases.url, digest))


def starting_checkpoint(settings: FinetuneSettings, place: Registry) -> tuple[str, Description]:
    """Find the checkpoint that provides the tower, the shape and, with `--init-from`, the adapters.

    Returns:
        Where every machine finds it, including its digest; and its description.

    Raises:
        ModelError: it is not a checkpoint, or the tower cannot be used.
        SettingsError: it is not there, or `--init-from` is combined with settings of the detector's shape.
        StorageError: a store failed.
    """
    if settings.init_from is None:
        return base_checkpoint(settings, place.url)
    shape = settings.model_dump(include=DETECTOR_SETTINGS - {"aux_coef"} | {"view", "base_tower"})
    if given := sorted(settings.flag(name) for name, value in shape.items() if value is not None):
        raise SettingsError(
            f"--init-from continues with the tower, view, blocks and ranks of {settings.init_from}; "
            f"leave out {', '.join(given)}"
        )
    found = place.location_of(settings.init_from)
    return found, describe(registry.locate(found))
