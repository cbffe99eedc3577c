"""Laws of the data set."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mole.backbone import load_tower
from mole.config import DetectorConfig
from mole.detector import MoLE
from mole.preprocess import Preprocess
from pipeline.tune.data.pairs import middle
from pipeline.tune.data.samples import Sample, load, read_manifest
from pipeline.tune.study.dataset import (
    Cached,
    Pictures,
    aligned,
    cache,
    delivered,
    delivered_pairs,
    matched_pairs,
    shipped,
)
from tests.pipeline.tune.conftest import EACH, SMALL

SPEC = Preprocess(mode="crop")


@pytest.fixture
def samples(manifest: Path) -> list[Sample]:
    return read_manifest(manifest)


def twice(samples: list[Sample]) -> Pictures:
    """Each picture and itself, as a pair without a difference."""
    return [(sample, middle(load(sample))) for sample in samples for _ in range(2)]


def test_every_sample_has_its_view_in_its_order(samples: list[Sample]) -> None:
    seeds = list(range(4 * EACH))
    for views in (shipped(samples, SPEC), aligned(samples, SPEC), delivered(samples, SPEC, seeds)):
        seen = list(views)
        assert [sample for sample, _ in seen] == samples
        assert {tuple(pixels_3SS.shape) for _, pixels_3SS in seen} == {(3, 224, 224)}
        assert {pixels_3SS.dtype for _, pixels_3SS in seen} == {np.dtype(np.uint8)}


def test_a_delivery_follows_from_its_seed(samples: list[Sample]) -> None:
    first, again, other = (next(iter(delivered(samples[:1], SPEC, [seed])))[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_both_pictures_of_a_pair_go_through_the_same_delivery(samples: list[Sample]) -> None:
    seen = [pixels_3SS for _, pixels_3SS in delivered_pairs(twice(samples[:3]), SPEC, [5, 6, 7])]
    for photograph_3SS, other_3SS in zip(seen[::2], seen[1::2], strict=True):
        assert np.array_equal(photograph_3SS, other_3SS)
    assert not np.array_equal(seen[0], seen[2])


def test_matched_pairs_differ_from_what_they_were_by_one_encoding(samples: list[Sample]) -> None:
    [(sample, pixels_3SS)] = matched_pairs([(samples[0], middle(load(samples[0])))], Preprocess(mode="resize"))
    [(_, before_3SS)] = shipped([samples[0]], Preprocess(mode="resize"))
    assert sample == samples[0]
    assert 0 < np.abs(pixels_3SS.astype(int) - before_3SS).mean() < 20


def test_cached_tokens_give_the_logits_of_the_whole_detector(samples: list[Sample], tower: Path) -> None:
    torch.manual_seed(0)
    detector = MoLE(load_tower(SMALL, tower), DetectorConfig()).eval()
    cached = cache(detector, shipped(samples[:3], SPEC), SPEC)
    with torch.no_grad():
        feature_NF = detector.feature(cached.token_NTD)[0]
    assert torch.allclose(cached.feature_NF, feature_NF, atol=1e-5)


def test_labels_and_sources_are_those_of_the_samples() -> None:
    samples = (Sample("a", 0, "photos"), Sample("b", 1, "painter"))
    one = Cached(samples, torch.zeros(2, 1, 1), torch.zeros(2, 1))
    assert one.label_N.tolist() == [0.0, 1.0]
    assert one.of(["painter"]).tolist() == [False, True]
    assert (one + one).samples == samples * 2
    assert len((one + one).token_NTD) == len((one + one).feature_NF) == 4
