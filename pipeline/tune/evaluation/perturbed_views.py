"""Perturbed views: decode each sample of a block once, and make its views under every perturbation."""

from collections.abc import Sequence
from zlib import crc32

import pyarrow as pa
import torch

from mole.views.preprocess import Preprocess
from mole.views.view import views
from pipeline.images.decode import Fault
from pipeline.records import Status
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.tune.data.samples import SCHEMA, Sample, decoded, digest_of, from_table, read
from pipeline.tune.evaluation.perturbation import perturbation
from pipeline.tune.evaluation.view_scorer import FACTS, PLACE

VIEWED = pa.schema([*FACTS, ("pixels", pa.large_binary())])
"""A sample under one perturbation; `pixels` are its views, uint8 (C, 3, S, S), null if `status` is not `ok`."""


def view_samples(rows: pa.Table, perturbations: Sequence[str], spec: Preprocess) -> pa.Table:
    """Make the views of each sample of a block under each perturbation.

    Args:
        rows: samples with their indices.
        perturbations: names of perturbations.
        spec: preprocessing.

    Returns:
        A table of `VIEWED`, with one row per sample and perturbation.
    """
    acts = [(name, perturbation(name)) for name in perturbations]
    made = []
    samples = from_table(rows.select(SCHEMA.names))
    for place, sample in zip(rows[PLACE[0]].to_pylist(), samples, strict=True):
        digest, picture = open_picture(sample)
        for name, act in acts:
            row = {"place": place, "delivery": name, "digest": digest, "status": str(Status.OK), "detail": None}
            if isinstance(picture, Fault):
                row |= {"status": str(picture.status), "detail": picture.detail}
            else:
                perturbed_3HW = act(picture, crc32(f"{sample.uri}\0{name}".encode())).numpy()
                row["pixels"] = views(perturbed_3HW, spec).tobytes()
            made.append(row)
    return pa.Table.from_pylist(made, VIEWED)


def open_picture(sample: Sample) -> tuple[str | None, torch.Tensor | Fault]:
    """Read and decode a sample.

    Returns:
        The digest of its bytes, None if they could not be read; and its pixels, uint8 (3, H, W), or the fault of its
        store or its decoding.
    """
    try:
        data = read(sample)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        return None, Fault(status, detail)
    return digest_of(data, sample.cell), decoded(sample, data)
