"""Held-out contents: an image is taken to show what similar images show, and is not named where none is known."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import torch

from mole.views.preprocess import Preprocess
from pipeline.tune.data.clusters import CLUSTERS
from pipeline.tune.data.collection import TEST, Collection
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.evaluation.held_out_logits import image_name
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.training.cached_views import CachedDetector
from pipeline.tune.training.held_out_contents import estimate_contents
from pipeline.tune.training.sampling import DatasetSpec
from pipeline.tune.training.token_cache import write_block
from pipeline.tune.training.view_requests import ViewRequest, view_keys

EACH = 40
SPEC = Preprocess(mode="resize")


def test_generated_images_are_compared_with_real_ones_that_show_the_same(tmp_path: Path) -> None:
    kinds = ["photo", "art", "maps"]
    samples, direction = [], np.eye(len(kinds) * CLUSTERS)
    features = []
    for kind in range(len(kinds)):
        for number in range(EACH):
            known = kinds[kind] if number % 2 and kinds[kind] != "maps" else ""
            samples.append(Sample(f"{kind}-{number}.png", 1 - number % 2, "from", content=known))
            features.append(direction[kind * CLUSTERS + number % (CLUSTERS // len(kinds)) // 2 * 2])
    digests = [f"{number:064x}" for number in range(len(samples))]
    collection = Collection(samples, [TEST] * len(samples), pa.table({"digest": digests}), Counter())
    keys = view_keys(
        [ViewRequest(index, ORIGINAL) for index in range(len(samples))],
        DatasetSpec(to_table(samples), SPEC),
        digests,
        seed=0,
    )
    write_block(tmp_path, keys, {"feature": torch.tensor(np.array(features), dtype=torch.float32)})
    detector = cast(CachedDetector, SimpleNamespace(task=SimpleNamespace(spec=SPEC, seed=0), folder=tmp_path))
    shown = estimate_contents(detector, collection, range(len(samples)))
    assert [shown[image_name(sample)] for sample in samples] == ["photo"] * EACH + ["art"] * EACH + [""] * EACH
