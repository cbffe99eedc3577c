"""View requests: one view of one sample under a named perturbation, and the pixels and cache key that it stands for.

Every random choice is seeded by the request, so any process that makes a view makes the same one.

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
from pipeline.tune.evaluation.perturbation import perturbation
from pipeline.tune.training.sampling import PADDING, Batch, DatasetSpec, SamplingPlan

AUGMENTED, CLEAN = "augmented", "plain"
"""A random augmentation, seeded by the variant; and none, apart from the alignment of the training. Both values enter
`view_keys`. All other names are those of `perturbation`."""
REQUEST_SCHEMA = pa.schema(
    [("sample_index", pa.int64()), ("perturbation", pa.string()), ("variant", pa.int64()), ("crop", pa.int64())]
)


class ViewRequest(NamedTuple):
    """One requested view.

    Attributes:
        sample_index: row of the sample in `DatasetSpec.samples`.
        perturbation: its name.
        variant: which of several augmented variants; 0 where there is only one.
        crop: which of the views of the perturbed picture.
    """

    sample_index: int
    perturbation: str = CLEAN
    variant: int = 0
    crop: int = 0


def augmented_views(ids: Batch, plan: SamplingPlan, dataset: DatasetSpec, *, seed: int) -> Batch:
    """Make the views of a block of draws, each with its own random augmentation.

    Args:
        ids: `id`, int64 (B,), draw numbers.
        plan: sampling plan of the training.
        dataset: samples and preprocessing.
        seed: of the augmentations.

    Returns:
        `pixels` uint8 (B, 3, S, S), `label` float32, `step` and `sample_index` int64 (B,).

    Raises:
        SettingsError: an image that could be read before cannot be read any more.
    """
    number_B = ids["id"]
    columns = (plan.sample_K[number_B], plan.variant_K[number_B], plan.view_K[number_B])
    requests = [
        ViewRequest(index, AUGMENTED, variant, crop)
        for index, variant, crop in zip(*map(np.ndarray.tolist, columns), strict=True)
    ]
    label_B = np.array(dataset.samples["label"].take(columns[0]), np.float32)
    return {
        "pixels": make_views(requests, dataset, seed=seed),
        "label": label_B,
        "step": number_B // plan.batch_size,
        "sample_index": columns[0],
    }


def clean_views(ids: Batch, dataset: DatasetSpec) -> Batch:
    """Make the views of a block of samples without augmentation, aligned if the training is.

    Args:
        ids: `id`, int64 (B,): the views of the first sample, then those of the next; numbers past the last are padding.
        dataset: samples and preprocessing.

    Returns:
        `pixels` uint8 (B, 3, S, S), black for padding, and `sample_index` int64 (B,), `PADDING` for padding.

    Raises:
        SettingsError: an image that could be read before cannot be read any more.
    """
    index_B, crop_B = np.divmod(ids["id"], len(dataset.spec.singles))
    index_B = np.where(index_B < len(dataset.samples), index_B, PADDING)
    pixels_B3SS = np.zeros((len(index_B), 3, dataset.spec.size, dataset.spec.size), np.uint8)
    real_B = index_B != PADDING
    requests = [
        ViewRequest(index, crop=crop)
        for index, crop in zip(index_B[real_B].tolist(), crop_B[real_B].tolist(), strict=True)
    ]
    if requests:
        pixels_B3SS[real_B] = make_views(requests, dataset, seed=0)
    return {"pixels": pixels_B3SS, "sample_index": index_B}


def make_views(requests: Sequence[ViewRequest], dataset: DatasetSpec, *, seed: int) -> Pixels:
    """Make requested views; uint8 (B, 3, S, S). A picture requested several times in a row is decoded once.

    Args:
        requests: the views.
        dataset: samples and preprocessing.
        seed: of random augmentations.

    Raises:
        SettingsError: an image that could be read before cannot be read any more.
    """
    made: list[Pixels] = []
    decoded: tuple[int, Tensor] | None = None
    last: tuple[ViewRequest, Sequence[Pixels]] | None = None
    for request in requests:
        sample = from_table(dataset.samples.slice(request.sample_index, 1))[0]
        if decoded is None or decoded[0] != request.sample_index:
            decoded = request.sample_index, load(sample)
        if last is None or last[0] != request._replace(crop=0):
            picture_3HW = perturbed(decoded[1], request, sample, dataset, seed=seed)
            last = request._replace(crop=0), _crops(picture_3HW.numpy(), request, dataset)
        made.append(last[1][request.crop])
    return np.stack(made)


def make_view_rows(rows: pa.Table, dataset: DatasetSpec, *, seed: int) -> dict[str, NDArray[np.generic]]:
    """Make the views of a table of `REQUEST_SCHEMA` with keys; `key`, and `pixels` uint8 (B, 3, S, S)."""
    requests = [ViewRequest(*row.values()) for row in rows.select(REQUEST_SCHEMA.names).to_pylist()]
    return {"key": np.array(rows["key"].to_pylist()), "pixels": make_views(requests, dataset, seed=seed)}


def _crops(pixels_3HW: Pixels, request: ViewRequest, dataset: DatasetSpec) -> Sequence[Pixels]:
    """Cut a perturbed picture into the views of a training or of an evaluation; uint8 (3, S, S) each."""
    if request.perturbation in (AUGMENTED, CLEAN):
        return [view(pixels_3HW, dataset.spec, number) for number in range(len(dataset.spec.singles))]
    return list(views(pixels_3HW, dataset.spec))


def perturbed(pixels_3HW: Tensor, request: ViewRequest, sample: Sample, dataset: DatasetSpec, *, seed: int) -> Tensor:
    """Perturb a decoded picture; uint8 (3, H, W), the size may change. Odd variants stay near the picture's scale."""
    name = request.perturbation
    if name not in (AUGMENTED, CLEAN):
        return perturbation(name)(pixels_3HW, crc32(f"{sample.uri}\0{name}".encode()))
    own = augmentation_seed(sample, request.variant, seed) if name == AUGMENTED else augmentation_seed(sample, 0, 0)
    if dataset.aligner is not None:
        pixels_3HW = dataset.aligner.apply(pixels_3HW, own)
    return augment(pixels_3HW, own, near=request.variant % 2 == 1) if name == AUGMENTED else pixels_3HW


def augmentation_seed(sample: Sample, variant: int, seed: int) -> int:
    """Derive the seed of an augmentation; samples of a group share it, so only their own differences remain."""
    return crc32(f"{seed}\0{variant}\0{sample.group or sample.uri}\0{sample.cell}".encode())


def view_keys(requests: Sequence[ViewRequest], dataset: DatasetSpec, digests: Sequence[str], *, seed: int) -> list[str]:
    """Compute the cache key of views from everything that determines their pixels; 32 hex digits each.

    Args:
        requests: the views.
        dataset: samples and preprocessing.
        digests: of each sample's bytes and cell.
        seed: of random augmentations.
    """
    samples = from_table(dataset.samples)
    form = "" if dataset.aligner is None else str(dataset.aligner)  # the names of its classes and fields are in the key
    first = dataset.spec.single  # a resized view has the same pixels whatever other views the spec has
    keys = []
    for request in requests:
        sample, name = samples[request.sample_index], request.perturbation
        own = augmentation_seed(sample, request.variant, seed) if name == AUGMENTED else 0
        if name == CLEAN and dataset.aligner is not None:
            own = augmentation_seed(sample, 0, 0)
        spec = first if first.mode == "resize" and request.crop == 0 else dataset.spec
        digest, variant = digests[request.sample_index], request.variant % 2
        parts = json.dumps([form, spec.fingerprint, request.crop, digest, sample.edge, name, own, variant])
        keys.append(blake2b(parts.encode(), digest_size=16).hexdigest())
    return keys
