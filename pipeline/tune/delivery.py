"""Delivery: how a sample reaches the detector in training, seeded, so that whoever makes the view makes the same one.

Shapes: B views of a block, S side of a view.
"""

from zlib import crc32

import numpy as np
import pyarrow as pa

from mole.preprocess import Preprocess
from mole.view import view
from pipeline.tune.augment import augment
from pipeline.tune.draws import NOBODY, Batch, Draws
from pipeline.tune.samples import Sample, from_table, load


def delivered(ids: Batch, draws: Draws, *, samples: pa.Table, spec: Preprocess, seed: int) -> Batch:
    """View a block's draws, each after its own random delivery.

    Args:
        ids: `id`, int64 (B,), the numbers of the draws.
        draws: the plan.
        samples: what its places mean.
        spec: how a view is made.
        seed: of the deliveries.

    Returns:
        `pixels` uint8 (B, 3, S, S), `label` float32, `step` and `place` int64 (B,).

    Raises:
        SettingsError: an image that was sound before cannot be read any more.
    """
    number_B = ids["id"]
    place_B = draws.place_K[number_B]
    chosen = from_table(samples.take(place_B))
    views = [
        view(augment(load(sample), delivery_seed(sample, turn, seed)), spec).numpy()
        for sample, turn in zip(chosen, draws.round_K[number_B].tolist(), strict=True)
    ]
    label_B = np.array([sample.label for sample in chosen], np.float32)
    return {"pixels": np.stack(views), "label": label_B, "step": number_B // draws.batch_size, "place": place_B}


def plain(ids: Batch, *, samples: pa.Table, spec: Preprocess) -> Batch:
    """View a block's samples as they are.

    Args:
        ids: `id`, int64 (B,), places of samples, or numbers behind the last one.
        samples: what they mean.
        spec: how a view is made.

    Returns:
        `pixels` uint8 (B, 3, S, S), black where nobody is, and `place` int64 (B,), `NOBODY` there.

    Raises:
        SettingsError: an image that was sound before cannot be read any more.
    """
    place_B = np.where(ids["id"] < len(samples), ids["id"], NOBODY)
    pixels_B3SS = np.zeros((len(place_B), 3, spec.size, spec.size), np.uint8)
    real = place_B != NOBODY
    pixels_B3SS[real] = [view(load(sample), spec).numpy() for sample in from_table(samples.take(place_B[real]))]
    return {"pixels": pixels_B3SS, "place": place_B}


def delivery_seed(sample: Sample, turn: int, seed: int) -> int:
    """Seed a delivery: what shares a group is delivered alike, so that only what differs between them remains."""
    return crc32(f"{seed}\0{turn}\0{sample.group or sample.uri}\0{sample.cell}".encode())
