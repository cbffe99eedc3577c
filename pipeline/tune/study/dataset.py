"""The data set: samples become seeded views, and views become trunk tokens that are computed once.

Legend: N views, S side of a view, T tokens, D width, F feature.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mole.detector import MoLE
from mole.preprocess import Preprocess
from mole.tower import normalise
from mole.view import Pixels, view, views
from pipeline.tune.data.augment import align
from pipeline.tune.data.samples import Sample, load
from pipeline.tune.study.pairs import deliver, deliver_near, matched

BATCH = 8

Pictures = Iterable[tuple[Sample, Tensor]]
"""Samples with their pixels, uint8 (3, H, W)."""
Views = Iterable[tuple[Sample, Pixels]]
"""Samples with what is seen of them, uint8 (3, S, S)."""


@dataclass(frozen=True)
class Cached:
    """Views after the frozen part of the detector.

    Attributes:
        samples: one a view; a reconstruction is labelled generated and shares its photograph's source and group.
        token_NTD: of the trunk, in the dtype of the tower.
        feature_NF: float32, of the plain tower, before any expert has learned.
    """

    samples: tuple[Sample, ...]
    token_NTD: Tensor
    feature_NF: Tensor

    def __add__(self, other: "Cached") -> "Cached":
        """Join two sets of views."""
        return Cached(
            self.samples + other.samples,
            torch.cat([self.token_NTD, other.token_NTD]),
            torch.cat([self.feature_NF, other.feature_NF]),
        )

    @property
    def label_N(self) -> Tensor:
        """Float32, 1 for generated."""
        return torch.tensor([float(sample.label) for sample in self.samples])

    def of(self, sources: Iterable[str]) -> Tensor:
        """Mark what comes from some sources; bool (N,)."""
        wanted = set(sources)
        return torch.tensor([sample.source in wanted for sample in self.samples])


def shipped(samples: Sequence[Sample], spec: Preprocess) -> Views:
    """View samples as they are; uint8 (3, S, S) each, the crops of a sample one after the other."""
    return ((sample, crop) for sample in samples for crop in views(load(sample).numpy(), spec))


def aligned(samples: Sequence[Sample], spec: Preprocess) -> Views:
    """View samples after one size and one JPEG encoding for all; uint8 (3, S, S) each, as `shipped`."""
    return ((sample, crop) for sample in samples for crop in views(align(load(sample)).numpy(), spec))


def delivered(samples: Sequence[Sample], spec: Preprocess, seeds: Sequence[int]) -> Views:
    """View samples through random deliveries, each by its seed; uint8 (3, S, S) each."""
    pairs = zip(seeds, samples, strict=True)
    return ((sample, view(deliver(load(sample), seed).numpy(), spec)) for seed, sample in pairs)


def delivered_pairs(pictures: Pictures, spec: Preprocess, seeds: Sequence[int]) -> Views:
    """View pairs through random deliveries, both of a pair through the same; uint8 (3, S, S) each.

    Args:
        pictures: photograph and reconstruction by turns, as `pairs` makes them.
        spec: which view.
        seeds: one a pair.
    """
    for number, (sample, pixels_3HW) in enumerate(pictures):
        yield sample, view(deliver_near(pixels_3HW, seeds[number // 2]).numpy(), spec)


def matched_pairs(pictures: Pictures, spec: Preprocess) -> Views:
    """View pairs with the same last encoder and no other change; uint8 (3, S, S) each, as `shipped`."""
    return ((sample, crop) for sample, pixels_3HW in pictures for crop in views(matched(pixels_3HW).numpy(), spec))


def cache(detector: MoLE, views: Views, spec: Preprocess) -> Cached:
    """Run what is frozen once over all views.

    Args:
        detector: fresh, so that its features are the plain tower's.
        views: what it sees, uint8 (3, S, S) each.
        spec: how they are normalised.
    """
    dtype = detector.tower.class_embedding.dtype
    samples: list[Sample] = []
    tokens, features = [], []
    with torch.no_grad():
        for batch in _batches(views):
            samples += [sample for sample, _ in batch]
            pixels_B3SS = torch.from_numpy(np.stack([pixels_3SS for _, pixels_3SS in batch]))
            tokens.append(detector.trunk(normalise(pixels_B3SS, spec).to(dtype)))
            features.append(detector.feature(tokens[-1])[0])
    return Cached(tuple(samples), torch.cat(tokens), torch.cat(features))


def _batches(views: Views) -> Iterator[list[tuple[Sample, Pixels]]]:
    """Take views by batches; uint8 (3, S, S) each."""
    rest = iter(views)
    while batch := list(islice(rest, BATCH)):
        yield batch
