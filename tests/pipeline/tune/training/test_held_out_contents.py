"""Held-out contents: an image is taken to show what similar images show, and is not named where none is known."""

from pathlib import Path

import numpy as np
import torch

from pipeline.tune.data.clusters import CLUSTERS
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.held_out_logits import image_name
from pipeline.tune.training.held_out_contents import estimate_contents
from pipeline.tune.training.token_cache import TokenCache, write_block

EACH = 40


def test_generated_images_are_compared_with_real_ones_that_show_the_same(tmp_path: Path) -> None:
    kinds = ["photo", "art", "maps"]
    samples, direction = [], np.eye(len(kinds) * CLUSTERS)
    features = []
    for kind in range(len(kinds)):
        for number in range(EACH):
            known = kinds[kind] if number % 2 and kinds[kind] != "maps" else ""
            samples.append(Sample(f"{kind}-{number}.png", 1 - number % 2, "from", content=known))
            features.append(direction[kind * CLUSTERS + number % (CLUSTERS // len(kinds)) // 2 * 2])
    keys = [sample.uri for sample in samples]
    write_block(tmp_path, keys, {"feature": torch.tensor(np.array(features), dtype=torch.float32)})
    shown = estimate_contents(TokenCache(tmp_path), keys, samples, seed=0)
    assert [shown[image_name(sample)] for sample in samples] == ["photo"] * EACH + ["art"] * EACH + [""] * EACH
