"""Delivery: how a sample reaches the detector, seeded, so that whoever makes the view makes the same one.

Shapes: B views of a block, S side of a view.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from mole.views.view import Pixels, view, views
from pipeline.tune.data.augment import augment
from pipeline.tune.data.samples import Sample, from_table, load
from pipeline.tune.judging.perturbation import perturbation
from pipeline.tune.training.sampling import PADDING, Batch, DatasetSpec, SamplingPlan

AUGMENTED, CLEAN = "augmented", "plain"
"""A random delivery, by its turn; and none, but that both classes are aligned where training is. Others are those of
`perturbation`."""
REQUEST_SCHEMA = pa.schema(
    [("place", pa.int64()), ("delivery", pa.string()), ("turn", pa.int64()), ("crop", pa.int64())]
)


class ViewRequest(NamedTuple):
    """One view that is wanted.

    Attributes:
        place: of the sample.
        delivery: its name.
        turn: which of several; 0 where there is one.
        crop: which of the views of a delivered picture.
    """

    place: int
    delivery: str = CLEAN
    variant: int = 0
    crop: int = 0


def augmented_views(ids: Batch, draws: SamplingPlan, made: DatasetSpec, *, seed: int) -> Batch:
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
    columns = (draws.place_K[number_B], draws.variant_K[number_B], draws.view_K[number_B])
    wants = [
        ViewRequest(place, AUGMENTED, turn, crop)
        for place, turn, crop in zip(*map(np.ndarray.tolist, columns), strict=True)
    ]
    label_B = np.array(made.samples["label"].take(columns[0]), np.float32)
    return {
        "pixels": make_views(wants, made, seed=seed),
        "label": label_B,
        "step": number_B // draws.batch_size,
        "place": columns[0],
    }


def clean_views(ids: Batch, made: DatasetSpec) -> Batch:
    """View a block's samples without a random delivery, aligned where training is.

    Args:
        ids: `id`, int64 (B,): the views of the first sample, then those of the next, or numbers behind the last one.
        made: what they mean, and how they become views.

    Returns:
        `pixels` uint8 (B, 3, S, S), black where nobody is, and `place` int64 (B,), `NOBODY` there.

    Raises:
        SettingsError: an image that was sound before cannot be read any more.
    """
    place_B, crop_B = np.divmod(ids["id"], len(made.spec.singles))
    place_B = np.where(place_B < len(made.samples), place_B, PADDING)
    pixels_B3SS = np.zeros((len(place_B), 3, made.spec.size, made.spec.size), np.uint8)
    there_B = place_B != PADDING
    wants = [
        ViewRequest(place, crop=crop)
        for place, crop in zip(place_B[there_B].tolist(), crop_B[there_B].tolist(), strict=True)
    ]
    if wants:
        pixels_B3SS[there_B] = make_views(wants, made, seed=0)
    return {"pixels": pixels_B3SS, "place": place_B}


def make_views(wants: Sequence[ViewRequest], made: DatasetSpec, *, seed: int) -> Pixels:
    """Make views; uint8 (B, 3, S, S). A picture that is wanted several times in a row is decoded once.

    Args:
        wants: which.
        made: what their places mean, and how they become views.
        seed: of random deliveries.

    Raises:
        SettingsError: an image that was sound before cannot be read any more.
    """
    found: list[Pixels] = []
    before: tuple[int, Tensor] | None = None
    last: tuple[ViewRequest, Sequence[Pixels]] | None = None
    for want in wants:
        sample = from_table(made.samples.slice(want.place, 1))[0]
        if before is None or before[0] != want.place:
            before = want.place, load(sample)
        if last is None or last[0] != want._replace(crop=0):
            picture_3HW = perturbed(before[1], want, sample, made, seed=seed)
            last = want._replace(crop=0), _crops(picture_3HW.numpy(), want, made)
        found.append(last[1][want.crop])
    return np.stack(found)


def make_view_rows(rows: pa.Table, made: DatasetSpec, *, seed: int) -> dict[str, NDArray[np.generic]]:
    """View a table of `WANTED` with keys; `key`, and `pixels` uint8 (B, 3, S, S)."""
    wants = [ViewRequest(*row.values()) for row in rows.select(REQUEST_SCHEMA.names).to_pylist()]
    return {"key": np.array(rows["key"].to_pylist()), "pixels": make_views(wants, made, seed=seed)}


def _crops(pixels_3HW: Pixels, want: ViewRequest, made: DatasetSpec) -> Sequence[Pixels]:
    """View a delivered picture as a training does, or as a judgement; uint8 (3, S, S) each."""
    if want.delivery in (AUGMENTED, CLEAN):
        return [view(pixels_3HW, made.spec, number) for number in range(len(made.spec.singles))]
    return list(views(pixels_3HW, made.spec))


def perturbed(pixels_3HW: Tensor, want: ViewRequest, sample: Sample, made: DatasetSpec, *, seed: int) -> Tensor:
    """Deliver a decoded picture; uint8 (3, H, W), in other sizes out. Every other turn stays near its own scale."""
    if want.delivery not in (AUGMENTED, CLEAN):
        return perturbation(want.delivery)(pixels_3HW, crc32(f"{sample.uri}\0{want.delivery}".encode()))
    own = (
        augmentation_seed(sample, want.variant, seed) if want.delivery == AUGMENTED else augmentation_seed(sample, 0, 0)
    )
    if made.aligner is not None:
        pixels_3HW = made.aligner.apply(pixels_3HW, own)
    return augment(pixels_3HW, own, near=want.variant % 2 == 1) if want.delivery == AUGMENTED else pixels_3HW


def augmentation_seed(sample: Sample, turn: int, seed: int) -> int:
    """Seed a delivery: what shares a group is delivered alike, so that only what differs between them remains."""
    return crc32(f"{seed}\0{turn}\0{sample.group or sample.uri}\0{sample.cell}".encode())


def view_keys(wants: Sequence[ViewRequest], made: DatasetSpec, digests: Sequence[str], *, seed: int) -> list[str]:
    """Name views by all that decides their pixels: content, delivery, seed, view; 32 hex digits each.

    Args:
        wants: which.
        made: what their places mean, and how they become views.
        digests: of each sample's bytes and cell.
        seed: of random deliveries.
    """
    samples = from_table(made.samples)
    form = "" if made.aligner is None else str(made.aligner)
    first = made.spec.single  # a resized view is the same whatever else an image is judged by
    named = []
    for want in wants:
        sample = samples[want.place]
        own = augmentation_seed(sample, want.variant, seed) if want.delivery == AUGMENTED else 0
        if want.delivery == CLEAN and made.aligner is not None:
            own = augmentation_seed(sample, 0, 0)
        spec = first if first.mode == "resize" and want.crop == 0 else made.spec
        told = json.dumps(
            [form, spec.fingerprint, want.crop, digests[want.place], sample.edge, want.delivery, own, want.variant % 2]
        )
        named.append(blake2b(told.encode(), digest_size=16).hexdigest())
    return named
