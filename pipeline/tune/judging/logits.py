"""Logits: of labelled samples in each delivery, and which real images a generator is judged by.

Legend: N samples, R real ones, G generated ones, D deliveries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.tune.data.folders import reals_of
from pipeline.tune.data.samples import Sample

OVERALL = "all generators"


@dataclass(frozen=True)
class Logits:
    """Samples with their logits, the common ground of figures and pictures.

    Attributes:
        source_N: of each sample.
        label_N: int, 1 for generated.
        logits: of each delivery, float64 (N,), NaN where the sample could not be read.
        reals_of: whose reals each generator is judged against; one that is not named takes all.
    """

    source_N: NDArray[np.str_]
    label_N: NDArray[np.int_]
    logits: Mapping[str, NDArray[np.float64]]
    reals_of: Mapping[str, str]

    @classmethod
    def of(cls, samples: Sequence[Sample], scored: pa.Table, deliveries: Sequence[str]) -> "Logits":
        """Spread a table of `SCORED`, which has its deliveries by turns."""
        logit_ND = scored["logit"].to_numpy().astype(np.float64).reshape(len(samples), len(deliveries))
        return cls(
            np.array([sample.source for sample in samples]),
            np.array([sample.label for sample in samples]),
            {name: logit_ND[:, place] for place, name in enumerate(deliveries)},
            reals_of(samples),
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
        """Give the logits of a collection's real images that could be read; float64 (R,)."""
        return self._read((self.source_N == source) & (self.label_N == 0), delivery)

    def against(self, generator: str, delivery: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the logits that a generator is judged by.

        Args:
            generator: its source, or `OVERALL`.
            delivery: its name.

        Returns:
            float64 (R,), the reals that belong to it, else all, and float64 (G,), its fakes.
        """
        own_N = np.full(len(self.label_N), generator == OVERALL) | (self.source_N == generator)
        reals_N = self.label_N == 0
        if generator in self.reals_of:
            reals_N = reals_N & (self.source_N == self.reals_of[generator])
        return self._read(reals_N, delivery), self._read(own_N & (self.label_N == 1), delivery)

    def _read(self, mask_N: NDArray[np.bool_], delivery: str) -> NDArray[np.float64]:
        """Take what could be read; a mask, bool (N,), gives float64."""
        logit_N = self.logits[delivery]
        return logit_N[mask_N & np.isfinite(logit_N)]
