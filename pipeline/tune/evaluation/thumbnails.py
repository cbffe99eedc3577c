"""Thumbnails: the most confident mistakes, as small images embedded in the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.images.decode import Fault
from pipeline.images.thumbnail import jpeg_data_uri
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.logits import Logits
from pipeline.tune.evaluation.perturbed_views import open_picture

SIDE = 160
QUALITY = 80


@dataclass(frozen=True)
class Mistake:
    """A picture on which the detector is wrong.

    Attributes:
        sample: the picture.
        logit: its score.
        data: a JPEG as a data URL; empty if the picture can no longer be read.
    """

    sample: Sample
    logit: float
    data: str

    @property
    def address(self) -> str:
        """A URL that a browser can open the picture by; empty for one in a shard or in an object store."""
        uri = self.sample.uri
        if self.sample.offset is not None:
            return ""
        if uri.startswith(("https://", "http://", "file://")):
            return uri
        return Path(uri).absolute().as_uri() if "://" not in uri else ""


def mistakes(
    samples: Sequence[Sample], table: Logits, delivery: str, threshold: float, *, generated: bool, limit: int
) -> list[Mistake]:
    """Collect the pictures on the wrong side of a threshold, the most confident first.

    Args:
        samples: all of them.
        table: their logits.
        delivery: perturbation under which they were scored; thumbnails show the pictures without it.
        threshold: in logits.
        generated: generated images below the threshold, otherwise real images at or above it.
        limit: maximum number.
    """
    logit_N = table.logits[delivery]
    wrong_N = (table.label_N == int(generated)) & np.isfinite(logit_N)
    wrong_N &= (logit_N < threshold) if generated else (logit_N >= threshold)
    places = np.flatnonzero(wrong_N)
    ranked = places[np.argsort(logit_N[places] * (1 if generated else -1), kind="stable")][:limit]
    return [Mistake(samples[place], float(logit_N[place]), thumbnail(samples[place])) for place in ranked.tolist()]


def thumbnail(sample: Sample) -> str:
    """Encode a small JPEG of a sample as a data URL; empty if it cannot be read."""
    _, pixels_3HW = open_picture(sample)
    if isinstance(pixels_3HW, Fault):
        return ""
    return jpeg_data_uri(pixels_3HW.numpy(), SIDE, QUALITY)[0]
