"""Delivery: how a sample reaches the detector in training, seeded, so that whoever makes the view makes the same one.

Shapes: B views of a block, S side of a view.
"""

from zlib import crc32

import numpy as np
from torch import Tensor

from mole.view import view
from pipeline.tune.data.augment import augment
from pipeline.tune.data.samples import Sample, from_table, load
from pipeline.tune.training.draws import NOBODY, Batch, Draws, Made


def delivered(ids: Batch, draws: Draws, made: Made, *, seed: int) -> Batch:
    """View a block's draws, each after its own random delivery.

    Args:
        ids: `id`, int64 (B,), the numbers of the draws.
        draws: the plan.
        made: what its places mean, and how they become views.
        seed: of the deliveries.

    Returns:
        `pixels` uint8 (B, 3, S, S), `label` float32, `step` and `place` int64 (B,).

    Raises:
        SettingsError: an image that was sound before cannot be read any more.
    """
    number_B = ids["id"]
    place_B = draws.place_K[number_B]
    chosen = from_table(made.samples.take(place_B))
    views = []
    for sample, turn in zip(chosen, draws.round_K[number_B].tolist(), strict=True):
        own = delivery_seed(sample, turn, seed)
        views.append(view(augment(aligned(sample, made, own), own).numpy(), made.spec))
    label_B = np.array([sample.label for sample in chosen], np.float32)
    return {"pixels": np.stack(views), "label": label_B, "step": number_B // draws.batch_size, "place": place_B}


def plain(ids: Batch, made: Made) -> Batch:
    """View a block's samples without a random delivery, aligned where training is.

    Args:
        ids: `id`, int64 (B,), places of samples, or numbers behind the last one.
        made: what they mean, and how they become views.

    Returns:
        `pixels` uint8 (B, 3, S, S), black where nobody is, and `place` int64 (B,), `NOBODY` there.

    Raises:
        SettingsError: an image that was sound before cannot be read any more.
    """
    place_B = np.where(ids["id"] < len(made.samples), ids["id"], NOBODY)
    pixels_B3SS = np.zeros((len(place_B), 3, made.spec.size, made.spec.size), np.uint8)
    for row, place in enumerate(place_B.tolist()):
        if place != NOBODY:
            sample = from_table(made.samples.slice(place, 1))[0]
            pixels_B3SS[row] = view(aligned(sample, made, delivery_seed(sample, 0, 0)).numpy(), made.spec)
    return {"pixels": pixels_B3SS, "place": place_B}


def aligned(sample: Sample, made: Made, seed: int) -> Tensor:
    """Read a sample, uint8 (3, H, W), in the form of a photograph where there is an aligner.

    Raises:
        SettingsError: it cannot be read any more.
    """
    picture = load(sample)
    return picture if made.aligner is None else made.aligner.apply(picture, seed)


def delivery_seed(sample: Sample, turn: int, seed: int) -> int:
    """Seed a delivery: what shares a group is delivered alike, so that only what differs between them remains."""
    return crc32(f"{seed}\0{turn}\0{sample.group or sample.uri}\0{sample.cell}".encode())
