"""The data set: samples become seeded views, and views become trunk tokens that are computed once.

Legend: N views, S side of a view, T tokens, D width.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mole.detector import Detector
from mole.errors import SettingsError
from mole.preprocess import Preprocess, normalise, view
from pipeline.tune.augment import align, augment
from pipeline.tune.reconstruct import Autoencoder
from pipeline.tune.samples import Sample, load

RECONSTRUCTION = "reconstruction"
LARGEST_RECONSTRUCTED = 384  # short side, pixels: the autoencoder costs more than the tower
BATCH = 16


@dataclass(frozen=True)
class Views:
    """What the tower sees of some samples, with what is known of them."""

    pixels_N3SS: Tensor  # uint8
    label_N: Tensor  # float32, 1 for generated
    source: tuple[str, ...]  # the sample's own; a reconstruction keeps its photograph's, since both are held out together
    reconstructed_N: Tensor  # bool


def shipped(samples: Sequence[Sample], spec: Preprocess, *, aligned: bool) -> Views:
    """View samples as they are, or all re-encoded alike first.

    Args:
        samples: any.
        spec: the view.
        aligned: give every image one size and one JPEG encoding.
    """
    pixels = [view(align(load(sample)) if aligned else load(sample), spec) for sample in samples]
    return _joined(pixels, list(samples), [False] * len(samples))


def augmented(
    samples: Sequence[Sample], spec: Preprocess, *, draws: int, seed: int, autoencoder: Autoencoder | None
) -> Views:
    """View samples through random deliveries; real ones also after reconstruction, as generated ones.

    Args:
        samples: any.
        spec: the view.
        draws: views a sample.
        seed: of every draw; the same samples and seed give the same views.
        autoencoder: what reconstructs, where wanted; one view a real sample and draw.
    """
    pixels, origin, reconstructed = [], [], []
    for number, sample in enumerate(samples):
        picture_3HW = load(sample)
        forms = [(picture_3HW, False)]
        if autoencoder is not None and sample.label == 0:
            forms.append((autoencoder.reconstruct(picture_3HW, largest=LARGEST_RECONSTRUCTED), True))
        for draw in range(draws):
            for form_3HW, again in forms:
                pixels.append(view(augment(form_3HW, (seed * len(samples) + number) * draws + draw), spec))
                origin.append(sample)
                reconstructed.append(again)
    return _joined(pixels, origin, reconstructed)


def trunk_tokens(detector: Detector, views: Views, spec: Preprocess) -> Tensor:
    """Run the frozen trunk once over all views.

    Returns:
        token_NTD, in the dtype of the tower.
    """
    dtype = detector.tower.proj.dtype
    with torch.no_grad():
        return torch.cat(
            [detector.trunk(normalise(batch, spec).to(dtype)) for batch in views.pixels_N3SS.split(BATCH)]
        )


def balanced_order(views: Views, *, keep_N: Tensor, reconstructed: float, seed: int) -> list[int]:
    """Draw an epoch's order: both classes alike, every source of a class alike, each view about as often as its fellows.

    Args:
        views: what there is.
        keep_N: bool, what may be drawn.
        reconstructed: share of the generated draws that are reconstructions.
        seed: of the draws.

    Returns:
        As many places in `views` as are kept.

    Raises:
        SettingsError: one of the classes is empty.
    """
    draw = random.Random(seed)
    pools: dict[tuple[bool, bool], dict[str, list[int]]] = {}
    for place in keep_N.nonzero().flatten().tolist():
        kind = (bool(views.label_N[place] > 0.5), bool(views.reconstructed_N[place]))
        pools.setdefault(kind, {}).setdefault(views.source[place], []).append(place)
    if not {(True, False), (False, False)} <= pools.keys():
        raise SettingsError(f"training needs real and generated images, got only {sorted(set(views.source))}")
    piles: dict[str, list[int]] = {}
    order = []
    for number in range(int(keep_N.sum())):
        generated = number % 2 == 0
        again = generated and (True, True) in pools and draw.random() < reconstructed
        sources = pools[generated, again]
        source = draw.choice(sorted(sources))
        pile = piles.setdefault(f"{generated} {again} {source}", [])
        if not pile:
            pile.extend(draw.sample(sources[source], len(sources[source])))
        order.append(pile.pop())
    return order


def _joined(pixels: list[Tensor], samples: list[Sample], reconstructed: list[bool]) -> Views:
    """Put views together with their labels."""
    again_N = torch.tensor(reconstructed, dtype=torch.bool)
    label_N = torch.tensor([float(sample.label) for sample in samples])
    return Views(torch.stack(pixels), label_N.masked_fill(again_N, 1.0), tuple(s.source for s in samples), again_N)
