"""The tokens of a study: every view that it needs, sent through the frozen trunk once.

Legend: S side of a view.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch

from mole.backbone import load_tower
from mole.checkpoint import sha256_of
from mole.config import DetectorConfig
from mole.detector import MoLE
from mole.errors import SettingsError
from mole.preprocess import Preprocess
from pipeline.telemetry import Ticker
from pipeline.tune.data.autoencoder import open_autoencoder
from pipeline.tune.data.pairs import pairs
from pipeline.tune.data.samples import Sample, capped, read_manifest
from pipeline.tune.study import dataset
from pipeline.tune.study.dataset import Cached, Pictures, Views
from pipeline.tune.study.recipe import Method, Recipe
from pipeline.tune.study.store import key_of, remembered

Say = Callable[[str], None]
STRIDE = 100_003
"""Between the seeds of two draws; above the samples of a study."""


@dataclass(frozen=True)
class Seen:
    """What a study judges by, in one of its views.

    Attributes:
        shipped: every sample as it is.
        aligned: every sample, both classes re-encoded alike.
        matched: photographs and their reconstructions with one last encoder; None where nothing reconstructs.
    """

    shipped: Cached
    aligned: Cached
    matched: Cached | None


@dataclass(frozen=True)
class Tokens:
    """What a study trains on, and what it judges by.

    Attributes:
        training: random deliveries, one view each.
        judged: for each view of the recipe, in its order.
    """

    training: Cached
    judged: list[Seen]


def chosen(recipe: Recipe) -> list[Sample]:
    """List the samples of a study, source by source.

    Raises:
        SettingsError: the manifest is refused, or the recipe names a source that is not there.
    """
    listed = read_manifest(recipe.manifest, grids=recipe.grids, split=recipe.split)
    there = {sample.source for sample in listed}
    unknown = {source for group in (*recipe.folds, recipe.calibration, recipe.caps) for source in group} - there
    if unknown:
        raise SettingsError(f"the recipe's sources {sorted(unknown)} must be among {sorted(there)}")
    samples: list[Sample] = []
    for source in sorted(there):
        own = [sample for sample in listed if sample.source == source]
        samples += capped(own, recipe.caps.get(source, recipe.most), seed=recipe.seed)
    return samples


def fresh(recipe: Recipe, method: Method) -> MoLE:
    """Build an untrained detector on a bfloat16 tower; what learns stays float32 and starts the same each time.

    A shared LoRA gets the rank at which it has no fewer parameters than the mixture; a router's row is half a rank.
    """
    torch.manual_seed(recipe.seed)
    ranks = recipe.expert_ranks
    equal = recipe.shared_rank + sum(ranks) + (len(ranks) + 1) // 2
    config = DetectorConfig(
        adapted_blocks=recipe.adapted_blocks,
        shared_rank=equal if method == "lora" else recipe.shared_rank,
        expert_ranks=() if method == "lora" else ranks,
        aux_coef=recipe.aux_coef,
    )
    return MoLE(load_tower(recipe.backbone, recipe.tower).bfloat16(), config)


def tokens(recipe: Recipe, samples: Sequence[Sample], say: Say) -> Tokens:
    """Make every view of a study and run the trunk over it, or read what an earlier run kept.

    Args:
        recipe: what views, how many, and where they are kept.
        samples: of both classes.
        say: told of each set of views.

    Raises:
        SettingsError: an image cannot be read, or pairs are wanted and nothing reconstructs.
        ModelError: the tower or the autoencoder cannot be loaded.
    """
    if recipe.pairs and recipe.autoencoder is None:
        raise SettingsError(f"pairs is {recipe.pairs}, but no autoencoder is named; give --autoencoder, or --pairs 0")
    trunk = fresh(recipe, "mole")
    digest, reals = sha256_of(recipe.tower), [sample for sample in samples if sample.label == 0]

    @cache
    def couples() -> list[tuple[Sample, torch.Tensor]]:  # reconstructing is what costs: once, and only if wanted
        return list(pairs(reals, open_autoencoder(str(recipe.autoencoder))))

    def run(kind: str, spec: Preprocess, make: Callable[[], Views], images: int) -> Cached:
        say(f"views: {kind}, {spec.name}")
        key = key_of(samples, digest, spec, trunk.split)
        made = partial(_shown, make, images * spec.crops)
        return remembered(recipe.cache, f"{kind}-{key}", made, (trunk, spec))

    def judged(spec: Preprocess) -> Seen:
        paired = recipe.autoencoder is not None
        return Seen(
            shipped=run("shipped", spec, lambda: dataset.shipped(samples, spec), len(samples)),
            aligned=run("aligned", spec, lambda: dataset.aligned(samples, spec), len(samples)),
            matched=run("matched", spec, lambda: dataset.matched_pairs(couples(), spec), 2 * len(reals))
            if paired
            else None,
        )

    return Tokens(_training(recipe, samples, couples, run), [judged(spec) for spec in recipe.specs])


def _training(
    recipe: Recipe,
    samples: Sequence[Sample],
    couples: Callable[[], Pictures],
    run: Callable[[str, Preprocess, Callable[[], Views], int], Cached],
) -> Cached:
    """Make the draws of the training views; in every other one photographs come with their reconstructions."""
    spec = recipe.specs[0].single
    made = []
    for draw in range(recipe.draws):
        seeds = [(recipe.seed * recipe.draws + draw) * STRIDE + place for place in range(len(samples))]
        paired = recipe.autoencoder is not None and draw % 2 == 0
        alone = [(seed, sample) for seed, sample in zip(seeds, samples, strict=True) if sample.label or not paired]
        own, wanted = [seed for seed, _ in alone], [sample for _, sample in alone]
        made.append(run(f"alone-{own[0]}", spec, partial(dataset.delivered, wanted, spec, own), len(wanted)))
        if paired:
            near = [seed for seed, sample in zip(seeds, samples, strict=True) if sample.label == 0]
            made.append(run(f"pairs-{near[0]}", spec, partial(_near, couples, spec, near), 2 * len(near)))
    joined = made[0]
    for part in made[1:]:
        joined = joined + part
    return joined


def _shown(make: Callable[[], Views], views: int) -> Views:
    """Make views, uint8 (3, S, S) each, and show how many are through the trunk."""
    return Ticker.shown().track(make(), "running the trunk", views, "views")


def _near(couples: Callable[[], Pictures], spec: Preprocess, seeds: Sequence[int]) -> Views:
    """Deliver pairs, which are made only now; uint8 (3, S, S) each."""
    return dataset.delivered_pairs(couples(), spec, seeds)
