"""Unseen samples: the test images of versions, without those that any of the versions was trained on."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mole.config import Description
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.manifest import MANIFEST, TrainingImages, is_located, place_of, training_images
from pipeline.tune.data.samples import Sample, from_table


def unseen_samples(versions: Sequence[Description], given: Sequence[Sample] = ()) -> list[Sample]:
    """List the test images of some versions and further ones, without images that any of them was trained on.

    A test image of one version, or another image of its group (a near duplicate, the photograph that it was made of),
    may be a training image of another version, which would favour that one. The test images of the shipped detector
    have no locations here, so they are compared on only where the other version lists them too.
    """
    known = training_images_of(versions)
    found: dict[object, Sample] = {}
    for version in versions:
        file = version.folder / MANIFEST
        if file.is_file():
            table = pq.read_table(file).filter(pc.field("split") == TEST)
            tested = list(zip(from_table(table), table["digest"].to_pylist(), strict=True))
            taught = [digest in known.digests or known.contains(sample) for sample, digest in tested]
            learned = {sample.group for (sample, _), own in zip(tested, taught, strict=True) if own} - {""}
            unseen = {
                digest: sample
                for (sample, digest), own in zip(tested, taught, strict=True)
                if not own and sample.group not in learned and is_located(sample)
            }
            found = unseen | found
    places = {place_of(sample) for sample in found.values()}
    return [*found.values(), *(one for one in given if place_of(one) not in places and not known.contains(one))]


def training_images_of(versions: Sequence[Description]) -> TrainingImages:
    """Join the training images of some versions, as far as they list them."""
    known = TrainingImages()
    for version in versions:
        known = known | training_images(version)
    return replace(known, listed=True, sources=frozenset())
