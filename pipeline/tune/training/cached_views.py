"""Keeping: where the tokens of a training are, which views it needs, and that there is room for them."""

import shutil
from collections.abc import Collection as Collected
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mole.config import Description
from mole.errors import SettingsError
from mole.tower.hub import architecture_of
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
"""The folder of a run's own tokens."""
DISK_RESERVE = 2 << 30
"""Bytes of a disk that tokens leave free."""


def token_folder(recipe: Recipe, run: str) -> Path | None:
    """Say where tokens are kept; None where they are not."""
    if recipe.tokens == NO_TOKENS:
        return None
    if recipe.tokens is not None:
        return Path(recipe.tokens).absolute()
    return Path(run) / TOKENS_FOLDER if storage.is_local(run) else None


@dataclass(frozen=True)
class CachedDetector:
    """A detector that is to be trained.

    Attributes:
        recipe: where its tokens are kept, and where they are made.
        task: which trunk.
        base: whose tower it is.
    """

    recipe: Recipe
    task: Task
    base: Description

    @property
    def folder(self) -> Path:
        """The folder of its tokens.

        Raises:
            SettingsError: nothing is kept.
        """
        folder = token_folder(self.recipe, self.task.run)
        if folder is None:
            raise SettingsError(f"--tokens {NO_TOKENS} keeps nothing; name a folder")
        return cache_folder(folder, self.base, self.task.detector, bfloat16=self.task.bfloat16)


def cache_views(
    detectors: Sequence[CachedDetector],
    data: tuple[Collection, PictureAligner | None],
    groups: Mapping[str, Sequence[ViewRequest]],
) -> dict[str, tuple[str, ...]]:
    """Make the views that are not kept yet, each once for all detectors, and name them by their keys.

    Args:
        detectors: of one base, view, dtype and seed.
        data: the samples, which the places of the views count, and what gives both classes one form, if any.
        groups: the views.

    Returns:
        The keys of each group.

    Raises:
        SettingsError: the disk has no room for them, or nothing is kept.
        ModelError: the tower cannot be used.
    """
    first = detectors[0]
    made, digests = (
        DatasetSpec(to_table(data[0].samples), first.task.spec, data[1]),
        data[0].survey["digest"].to_pylist(),
    )
    names = {group: tuple(view_keys(wants, made, digests, seed=first.task.seed)) for group, wants in groups.items()}
    every = {key: want for group in groups for key, want in zip(names[group], groups[group], strict=True)}
    for one in detectors:
        check_disk_space(one.folder, every, one.base, one.task)
    fill_cache({str(one.folder): one.task for one in detectors}, every, made, device=first.recipe.device)
    return names


def requested_views(
    places: Mapping[str, Sequence[int]], spec: Preprocess, rounds: int, judged: Sequence[str]
) -> dict[str, list[ViewRequest]]:
    """List the views that a training needs: of each split, and of the test split each delivery.

    Args:
        places: of the samples of each split.
        spec: how many views an image has.
        rounds: deliveries of a training image.
        judged: deliveries of a test image.

    Returns:
        By split or delivery; view by view, delivery by delivery, sample by sample.
    """
    singles, crops = range(len(spec.singles)), range(spec.crops)
    training = [
        ViewRequest(place, AUGMENTED, turn, crop)
        for place in places[TRAIN]
        for turn in range(rounds)
        for crop in singles
    ]
    watched = [ViewRequest(place, CLEAN, crop=crop) for place in places[VALIDATION] for crop in singles]
    shown = {name: [ViewRequest(place, name, crop=crop) for place in places[TEST] for crop in crops] for name in judged}
    return {TRAIN: training, VALIDATION: watched, **shown}


def check_disk_space(folder: Path, names: Collected[str], base: Description, task: Task) -> None:
    """Refuse tokens that the disk has no room for.

    Raises:
        SettingsError: it has not.
    """
    found = TokenCache(folder)
    shape = base.config.backbone.architecture or architecture_of(base.config.backbone.name)
    tokens = (task.spec.size // shape.patch_size) ** 2 + 1 if needs_tokens(task) else 0
    absent = sum(name not in found for name in names)
    wanted = absent * (tokens * (2 if task.bfloat16 else 4) + 4) * shape.width
    free = shutil.disk_usage(folder).free
    if wanted > free - DISK_RESERVE:
        raise SettingsError(
            f"{absent:,} views take {wanted / 1e9:.1f} GB of tokens, and {folder} has {free / 1e9:.1f} GB; give "
            f"--tokens another folder, fewer --deliveries, or --tokens {NO_TOKENS}"
        )
