"""UniversalFakeDetect protocol: average precision on nineteen sets, with a centre crop and no resizing.

Source: Ojha et al. 2023, arXiv:2302.10174, and its published `validate.py`; the printed results are those of Liu et al.
2024, arXiv:2404.04883, trained on ProGAN.

Legend: R real images, G generated ones.
"""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mole.config import describe
from mole.errors import SettingsError
from mole.measuring.metrics import average_precision
from mole.views.preprocess import Preprocess
from pipeline import registry
from pipeline.tune.data.collection import Log
from pipeline.tune.data.folders import reals_of
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.evaluation.sample_scoring import DEFAULT_RUNNER, Runner, score

NAME = "universal-fake-detect"
SIDE, SEED = 224, 0
MAX_IMAGES, SMALL_IMAGES = 1000, 100
"""Images per class of a set; if a class has fewer than the first number, the published code takes the second."""

SETS = {
    "progan": "ProGAN",
    "cyclegan": "CycleGAN",
    "biggan": "BigGAN",
    "stylegan": "StyleGAN",
    "gaugan": "GauGAN",
    "stargan": "StarGAN",
    "deepfake": "Deepfakes",
    "seeingdark": "SITD",
    "san": "SAN",
    "crn": "CRN",
    "imle": "IMLE",
    "guided": "Guided",
    "ldm_200": "LDM200",
    "ldm_200_cfg": "LDM200cfg",
    "ldm_100": "LDM100",
    "glide_100_27": "Glide100-27",
    "glide_50_27": "Glide50-27",
    "glide_100_10": "Glide100-10",
    "dalle": "DALL-E",
}
"""The sets in the paper's order: folder and printed name."""

# fmt: off
PRINTED = {
    "UniversalFakeDetect L/14": (100, 99.46, 99.59, 97.24, 99.98, 99.60, 82.45, 61.32, 79.02, 96.72, 99.00, 87.77,
                                 99.14, 92.15, 99.17, 94.74, 95.34, 94.57, 97.15),
    "MoLE B/32": (100, 99.44, 98.12, 98.97, 97.75, 99.85, 79.55, 77.25, 72.67, 76.39, 95.32, 93.28, 98.99,
                  94.93, 99.14, 91.90, 93.23, 92.06, 96.64),
    "MoLE B/16": (100, 99.56, 99.66, 99.78, 99.94, 99.86, 85.03, 87.95, 80.99, 93.41, 99.27, 89.93, 99.46,
                  95.06, 99.55, 94.75, 95.66, 95.00, 97.93),
    "MoLE L/14": (100, 99.97, 99.93, 99.81, 100, 99.81, 91.45, 90.93, 84.95, 96.09, 99.57, 94.40, 99.87,
                  97.85, 99.93, 99.12, 99.48, 99.23, 99.22),
}
# fmt: on
"""Average precision in percent, as the paper prints it."""


class SetFigures(BaseModel):
    """The metrics of one set.

    Attributes:
        folder: its name on disk.
        reals: number of real images.
        fakes: number of generated images.
        average_precision: from 0 to 1.
        real_accuracy: share of real images with a logit of 0 or less.
        fake_accuracy: share of generated images with a logit above 0.
        accuracy: on all images of the set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    reals: int
    fakes: int
    average_precision: float
    real_accuracy: float
    fake_accuracy: float
    accuracy: float


class Protocol(BaseModel):
    """The metrics of all sets.

    Attributes:
        model: digest of the checkpoint.
        sets: those that could be scored, in the paper's order.
        absent: sets without samples.
        excluded: number of images that could not be read.
        note: a remark; empty if there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    sets: tuple[SetFigures, ...]
    absent: tuple[str, ...]
    excluded: int
    note: str

    @property
    def mean_average_precision(self) -> float:
        """Mean over the sets; comparable with the paper's only if no set is absent."""
        return float(np.mean([own.average_precision for own in self.sets]))

    @property
    def mean_accuracy(self) -> float:
        """Mean over the sets."""
        return float(np.mean([own.accuracy for own in self.sets]))

    def found(self, folder: str) -> SetFigures | None:
        """Return the metrics of a set; None if it is absent."""
        return next((own for own in self.sets if own.folder == folder), None)


def run_protocol(samples: Sequence[Sample], model: str, log: Log, *, runner: Runner = DEFAULT_RUNNER) -> Protocol:
    """Score the sets; Ray must be connected.

    Args:
        samples: from the published test folders; the source of each is its set.
        model: a checkpoint folder, its URL, a registry (its promoted version) or `embedded`.
        log: receives progress messages, one line each.
        runner: where the detector runs.

    Raises:
        SettingsError: all sets are absent, or the checkpoint's views are not of 224 pixels.
        ModelError: the checkpoint cannot be used.
    """
    description = describe(registry.locate(model))
    own = description.preprocess
    if own.size != SIDE:
        raise SettingsError(f"the protocol uses views of {SIDE} pixels, --model {model!r} uses {own.size}; use another")
    spec = Preprocess(mode="crop", size=SIDE, short_side=own.short_side, mean=own.mean, std=own.std)
    chosen = {folder: places for folder in SETS if all(places := choose(samples, folder))}
    absent = tuple(folder for folder in SETS if folder not in chosen)
    if not chosen:
        raise SettingsError(f"none of the sets {', '.join(SETS)} is among the samples; name the folder that holds them")
    note = warning(own, spec)
    for line in (f"absent: {', '.join(absent)}" if absent else "", note):
        if line:
            log(line)
    needed = sorted({place for both in chosen.values() for places in both for place in places})
    scored = score([samples[place] for place in needed], model, [ORIGINAL], spec=spec, runner=runner)
    logits = np.full(len(samples), np.nan)
    logits[needed] = scored["logit"].to_numpy()
    sets = [_figures(folder, *(logits[places] for places in both)) for folder, both in chosen.items()]
    return Protocol(
        model=description.digest,
        sets=tuple(figures for figures in sets if figures is not None),
        absent=absent,
        excluded=int(np.isnan(logits[needed]).sum()),
        note=note,
    )


def warning(own: Preprocess, spec: Preprocess) -> str:
    """Warn if the protocol's view is not that of the checkpoint; empty if it is."""
    if own == spec:
        return ""
    return f"the checkpoint was made for the view {own.name!r}; the protocol crops without resizing"


def choose(samples: Sequence[Sample], folder: str) -> tuple[list[int], list[int]]:
    """Draw a set's images as the published code does, but from sorted names, since the order of files on disk varies.

    Args:
        samples: all of them.
        folder: the set.

    Returns:
        Indices of its real and generated images, equally many.
    """
    lender = reals_of(samples).get(folder)
    both = ([], []) if lender is None else (_of(samples, lender, 0), _of(samples, folder, 1))
    size = MAX_IMAGES if min(map(len, both)) >= MAX_IMAGES else SMALL_IMAGES
    draw = random.Random(SEED)
    for places in both:
        draw.shuffle(places)
    kept = min(size, *map(len, both))
    return both[0][:kept], both[1][:kept]


def _of(samples: Sequence[Sample], source: str, label: int) -> list[int]:
    """List the images of a class of a source, sorted by name."""
    own = [place for place, sample in enumerate(samples) if (sample.source, sample.label) == (source, label)]
    return sorted(own, key=lambda place: samples[place].uri)


def _figures(folder: str, real_R: NDArray[np.float64], fake_G: NDArray[np.float64]) -> SetFigures | None:
    """Measure one set; None if no image of a class could be read. float64 (R,) and (G,), NaN for unread ones."""
    reals, fakes = real_R[np.isfinite(real_R)], fake_G[np.isfinite(fake_G)]
    if not (len(reals) and len(fakes)):
        return None
    right = int((reals <= 0).sum()), int((fakes > 0).sum())
    return SetFigures(
        folder=folder,
        reals=len(reals),
        fakes=len(fakes),
        average_precision=average_precision(reals, fakes),
        real_accuracy=right[0] / len(reals),
        fake_accuracy=right[1] / len(fakes),
        accuracy=sum(right) / (len(reals) + len(fakes)),
    )
