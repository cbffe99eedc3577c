"""The data set: samples become seeded views, and views become trunk tokens that are computed once.

Legend: N views, S side of a view, T tokens, D width, F feature.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mole.detector import Detector
from mole.errors import SettingsError
from mole.preprocess import Preprocess
from mole.view import normalise, view
from pipeline.tune.augment import ALIGNED_SIDE, align, augment
from pipeline.tune.reconstruct import Autoencoder
from pipeline.tune.samples import Sample, load

BATCH = 8


@dataclass(frozen=True)
class Views:
    """What the tower sees of some samples, with what is known of them."""

    pixels_N3SS: Tensor  # uint8
    label_N: Tensor  # float32, 1 for generated
    source: tuple[str, ...]

    @classmethod
    def of(cls, samples: Sequence[Sample], pixels: Sequence[Tensor]) -> "Views":
        """Put the views of some samples together, one a sample; each uint8 (3, S, S)."""
        label_N = torch.tensor([float(sample.label) for sample in samples])
        return cls(torch.stack(list(pixels)), label_N, tuple(sample.source for sample in samples))


@dataclass(frozen=True)
class Cached:
    """Views after the frozen part of the detector."""

    label_N: Tensor  # float32, 1 for generated
    source: tuple[str, ...]
    token_NTD: Tensor  # of the trunk, in the dtype of the tower
    feature_NF: Tensor  # float32, of the plain tower, before any expert has learned

    def __add__(self, other: "Cached") -> "Cached":
        """Join two sets of views."""
        return Cached(
            torch.cat([self.label_N, other.label_N]),
            self.source + other.source,
            torch.cat([self.token_NTD, other.token_NTD]),
            torch.cat([self.feature_NF, other.feature_NF]),
        )

    def without(self, sources: Sequence[str]) -> Tensor:
        """Mark what does not come from some sources; bool (N,)."""
        return torch.tensor([source not in sources for source in self.source])


def shipped(samples: Sequence[Sample], spec: Preprocess) -> Views:
    """View samples as they are."""
    return Views.of(samples, [view(load(sample), spec) for sample in samples])


def aligned(samples: Sequence[Sample], spec: Preprocess) -> Views:
    """View samples after one size and one JPEG encoding for all."""
    return Views.of(samples, [view(align(load(sample)), spec) for sample in samples])


def reconstructed(samples: Sequence[Sample], spec: Preprocess, autoencoder: Autoencoder) -> Views:
    """View samples after a pass through an autoencoder, aligned after it; their labels stay."""
    again = (autoencoder.reconstruct(load(sample), largest=ALIGNED_SIDE) for sample in samples)
    return Views.of(samples, [view(align(pixels_3HW), spec) for pixels_3HW in again])


def augmented(samples: Sequence[Sample], spec: Preprocess, seed: int) -> Views:
    """View samples through random deliveries; the same samples and seed give the same views."""
    places = range(seed * len(samples), (seed + 1) * len(samples))
    return Views.of(
        samples, [view(augment(load(sample), place), spec) for place, sample in zip(places, samples, strict=True)]
    )


def cache(detector: Detector, views: Views, spec: Preprocess) -> Cached:
    """Run what is frozen once over all views.

    Args:
        detector: fresh, so that its features are the plain tower's.
        views: what it sees.
        spec: how they are normalised.
    """
    dtype = detector.tower.proj.dtype
    tokens, features = [], []
    with torch.no_grad():
        for batch_B3SS in torch.split(views.pixels_N3SS, BATCH):
            tokens.append(detector.trunk(normalise(batch_B3SS, spec).to(dtype)))
            features.append(detector.feature(tokens[-1])[0])
    return Cached(views.label_N, views.source, torch.cat(tokens), torch.cat(features))


def balancing_weights(cached: Cached, keep_N: Tensor) -> Tensor:
    """Weigh views so that both classes count alike, and within a class every source; weight_N float32, sum 1.

    Args:
        cached: labels and sources.
        keep_N: bool; what is not kept weighs nothing.

    Raises:
        SettingsError: one of the classes is empty.
    """
    kinds = [(float(label), source) for label, source in zip(cached.label_N, cached.source, strict=True)]
    counts: dict[tuple[float, str], int] = {}
    for kind, keep in zip(kinds, keep_N.tolist(), strict=True):
        counts[kind] = counts.get(kind, 0) + keep
    alive = [kind for kind, count in counts.items() if count]
    sources = {label: sum(kind[0] == label for kind in alive) for label in (0.0, 1.0)}
    if not all(sources.values()):
        raise SettingsError(f"training needs both classes, got only {sorted(source for _, source in alive)}")
    share = {kind: 1 / (2 * sources[kind[0]] * counts[kind]) for kind in alive}
    return torch.tensor([share[kind] if keep else 0.0 for kind, keep in zip(kinds, keep_N.tolist(), strict=True)])


def balanced_order(weight_N: Tensor, draws: int, seed: int) -> list[int]:
    """Draw views by their weights, each about as often as its weight says and never by luck alone.

    Args:
        weight_N: float32 (N,), sum 1.
        draws: how many.
        seed: of the draws.

    Returns:
        Places, shuffled. (Systematic sampling: one random start, even strides.)
    """
    draw = random.Random(seed)
    places = draw.sample(range(len(weight_N)), len(weight_N))
    edge_N = weight_N[places].double().cumsum(0)
    stride_N = (torch.arange(draws, dtype=torch.float64) + draw.random()) / draws * edge_N[-1]
    found_N = torch.searchsorted(edge_N, stride_N).clamp(max=len(places) - 1)
    return draw.sample([places[place] for place in found_N.tolist()], draws)
