"""Cached views: which views a training needs in the token cache, where the cache is, and whether the disk has room."""

import shutil
from collections.abc import Collection as Collected
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mole.architecture import Architecture
from mole.config import Description
from mole.errors import SettingsError
from mole.tower.hub import architecture_of, trunk_of
from mole.tower.vit import Tower
from mole.views.preprocess import Preprocess
from pipeline.storage import storage
from pipeline.tune.data.collection import TEST, VALIDATION, Collection
from pipeline.tune.data.samples import to_table
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.caching import fill_cache
from pipeline.tune.training.recipe import NO_TOKENS, Recipe
from pipeline.tune.training.sampling import DatasetSpec, PictureAligner
from pipeline.tune.training.task import Task
from pipeline.tune.training.token_cache import TokenCache, cache_folder
from pipeline.tune.training.trunk import needs_tokens
from pipeline.tune.training.view_requests import AUGMENTED, CLEAN, ViewRequest, view_keys

TOKENS_FOLDER = "tokens"
"""Name of the folder in a run that holds its own token cache."""
DISK_RESERVE = 2 << 30
"""Bytes of disk space that the token cache leaves free."""


def token_folder(recipe: Recipe, run: str) -> Path | None:
    """Return the folder of the token cache; None if tokens are not cached."""
    if recipe.token_cache == NO_TOKENS:
        return None
    if recipe.token_cache is not None:
        return Path(recipe.token_cache).absolute()
    return Path(run) / TOKENS_FOLDER if storage.is_local(run) else None


@dataclass(frozen=True)
class CachedDetector:
    """A detector that is trained on cached tokens.

    Attributes:
        recipe: says where tokens are cached and on which device they are computed.
        task: determines the trunk.
        base: checkpoint whose tower is used.
    """

    recipe: Recipe
    task: Task
    base: Description

    @property
    def folder(self) -> Path:
        """The folder of its tokens.

        Raises:
            SettingsError: tokens are not cached.
        """
        folder = token_folder(self.recipe, self.task.run)
        if folder is None:
            raise SettingsError(f"--token-cache {NO_TOKENS} caches nothing; name a folder")
        return cache_folder(folder, self.base, self.task.detector, bfloat16=self.task.bfloat16)


def cache_views(
    detectors: Sequence[CachedDetector],
    data: tuple[Collection, PictureAligner | None],
    groups: Mapping[str, Sequence[ViewRequest]],
) -> dict[str, tuple[str, ...]]:
    """Compute the views that are not cached yet, each once for all detectors, and return their keys.

    Args:
        detectors: all with the same base, view, dtype and seed.
        data: the samples that the requests index, and the aligner, if any.
        groups: requested views by group.

    Returns:
        The keys of each group.

    Raises:
        SettingsError: the disk has no room for them, or tokens are not cached.
        ModelError: the tower cannot be used.
    """
    first = detectors[0]
    dataset = DatasetSpec(to_table(data[0].samples), first.task.spec, data[1])
    digests = data[0].survey["digest"].to_pylist()
    keys = {group: tuple(view_keys(own, dataset, digests, seed=first.task.seed)) for group, own in groups.items()}
    requested = {key: request for group in groups for key, request in zip(keys[group], groups[group], strict=True)}
    for detector in detectors:
        check_disk_space(detector.folder, requested, detector.base, detector.task)
    tasks = {str(detector.folder): detector.task for detector in detectors}
    fill_cache(tasks, requested, dataset, device=first.recipe.device)
    return keys


def requested_views(
    indices: Mapping[str, Sequence[int]], spec: Preprocess, variants: int, perturbations: Sequence[str]
) -> dict[str, list[ViewRequest]]:
    """List the views that a training needs: of each split, and of the test split under each perturbation.

    Args:
        indices: sample indices of each split.
        spec: determines the number of views per image.
        variants: augmented variants per training image.
        perturbations: names of the perturbations of test images.

    Returns:
        By split or perturbation, ordered by sample, then variant, then view.
    """
    singles, crops = range(len(spec.singles)), range(spec.crops)
    training = [
        ViewRequest(index, AUGMENTED, variant, crop)
        for index in indices[TRAIN]
        for variant in range(variants)
        for crop in singles
    ]
    validation = [ViewRequest(index, CLEAN, crop=crop) for index in indices[VALIDATION] for crop in singles]
    test = {
        name: [ViewRequest(index, name, crop=crop) for index in indices[TEST] for crop in crops]
        for name in perturbations
    }
    return {TRAIN: training, VALIDATION: validation, **test}


def check_disk_space(folder: Path, keys: Collected[str], base: Description, task: Task) -> None:
    """Refuse to cache more tokens than the disk has room for.

    Raises:
        SettingsError: the disk has too little free space.
    """
    cache = TokenCache(folder)
    shape = base.config.backbone.architecture or architecture_of(base.config.backbone.name)
    tokens = (task.spec.size // shape.patch_size) ** 2 + prefix_tokens(shape) if needs_tokens(task) else 0
    absent = sum(key not in cache for key in keys)
    needed = absent * (tokens * (2 if task.bfloat16 else 4) + 4) * shape.width
    free = shutil.disk_usage(folder).free
    if needed > free - DISK_RESERVE:
        raise SettingsError(
            f"{absent:,} views take {needed / 1e9:.1f} GB of tokens, and {folder} has {free / 1e9:.1f} GB free, of "
            f"which {DISK_RESERVE / 1e9:.1f} GB stay reserved; choose another folder with --token-cache, lower "
            f"--augmentations, or set --token-cache {NO_TOKENS}"
        )


def prefix_tokens(shape: Architecture) -> int:
    """Count the tokens before the patch tokens: the class token, and the registers of towers that have them."""
    return Tower.prefix if shape.library is None else int(trunk_of(shape).num_prefix_tokens)
