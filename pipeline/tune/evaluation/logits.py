"""Logits: of labelled samples under each perturbation, and the real images that each generator is compared with.

Legend: N samples, R real ones, G generated ones, D perturbations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.tune.data.folders import reals_of
from pipeline.tune.data.samples import Sample

OVERALL = "all generators"
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Logits:
    """Samples with their logits, from which metrics and plots are computed.

    Attributes:
        source_N: of each sample.
        label_N: int, 1 for generated.
        logits: by perturbation, float64 (N,), NaN if a sample could not be read.
        reals_of: the source whose real images each generator is compared with; all real images if it has no entry.
        pairs: for each source that reconstructs photographs, the samples that share a group with one of its images,
            bool (N,); it is compared with its own photographs.
        part_N: the generator or class within a source with several; empty if unknown.
    """

    source_N: NDArray[np.str_]
    label_N: NDArray[np.int_]
    logits: Mapping[str, NDArray[np.float64]]
    reals_of: Mapping[str, str]
    pairs: Mapping[str, Mask] = field(default_factory=dict)
    part_N: NDArray[np.str_] | None = None

    @classmethod
    def of(cls, samples: Sequence[Sample], scored: pa.Table, perturbations: Sequence[str]) -> "Logits":
        """Read a table of `SCORED`, ordered by sample and then perturbation."""
        logit_ND = scored["logit"].to_numpy().astype(np.float64).reshape(len(samples), len(perturbations))
        return cls(
            np.array([sample.source for sample in samples]),
            np.array([sample.label for sample in samples]),
            {name: logit_ND[:, place] for place, name in enumerate(perturbations)},
            reals_of(samples),
            pairs_of(samples),
            np.array([sample.part for sample in samples], np.str_),
        )

    @property
    def generators(self) -> list[str]:
        """Sources with generated images."""
        return sorted({str(name) for name in self.source_N[self.label_N == 1]})

    @property
    def collections(self) -> list[str]:
        """Sources with real images."""
        return sorted({str(name) for name in self.source_N[self.label_N == 0]})

    def reals(self, source: str, delivery: str) -> NDArray[np.float64]:
        """Return the logits of a collection's real images that could be read; float64 (R,)."""
        return self._read((self.source_N == source) & (self.label_N == 0), delivery)

    def against(self, generator: str, delivery: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the logits that a generator is evaluated by.

        Args:
            generator: its source, or `OVERALL`, which leaves out reconstructions if there is anything else.
            delivery: name of the perturbation.

        Returns:
            float64 (R,), the real images of its source, or else all; and float64 (G,), its images.
        """
        return self._read(self._reals(generator), delivery), self._read(self._fakes(generator), delivery)

    def parts(self, generator: str) -> dict[str, int]:
        """Count the images of each part of a source; empty if it has only one."""
        if self.part_N is None:
            return {}
        names, counts = np.unique(self.part_N[self._fakes(generator)], return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True)) if len(names) > 1 else {}

    def part(self, generator: str, names: Sequence[str], delivery: str) -> NDArray[np.float64]:
        """Return the logits of some parts of a source; float64 (G,)."""
        own_N = self._fakes(generator)
        return self._read(own_N if self.part_N is None else own_N & np.isin(self.part_N, list(names)), delivery)

    def _reals(self, generator: str) -> Mask:
        """Mark the real images that a generator is compared with; bool (N,)."""
        reals_N: Mask = self.label_N == 0
        own_N: Mask = np.full(len(reals_N), True)
        if generator in self.pairs:
            own_N = self.pairs[generator]
        elif generator in self.reals_of:
            own_N = self.source_N == self.reals_of[generator]
        return np.logical_and(reals_N, own_N)

    def _fakes(self, generator: str) -> Mask:
        """Mark a generator's images; bool (N,)."""
        fakes_N: Mask = self.label_N == 1
        own_N: Mask = self.source_N == generator
        if generator == OVERALL:
            own_N = np.isin(self.source_N, list(self.pairs), invert=True)
            own_N = own_N if (fakes_N & own_N).any() else fakes_N
        return np.logical_and(fakes_N, own_N)

    def _read(self, mask_N: Mask, delivery: str) -> NDArray[np.float64]:
        """Select the logits of samples that could be read, by a mask, bool (N,); float64."""
        logit_N = self.logits[delivery]
        return logit_N[mask_N & np.isfinite(logit_N)]


def pairs_of(samples: Sequence[Sample]) -> dict[str, Mask]:
    """Find the sources whose images are made from photographs among the samples: most share a group with a real one.

    Returns:
        For each such source, which samples share a group with one of its images, bool (N,).
    """
    group_N = np.array([sample.group for sample in samples], np.str_)
    label_N = np.array([sample.label for sample in samples])
    source_N = np.array([sample.source for sample in samples], np.str_)
    paired_N = (group_N != "") & np.isin(group_N, group_N[label_N == 0])
    found = {}
    for source in np.unique(source_N[label_N == 1]).tolist():
        own_N = (source_N == source) & (label_N == 1)
        if 2 * (own_N & paired_N).sum() > own_N.sum():
            found[source] = (group_N != "") & np.isin(group_N, group_N[own_N])
    return found
