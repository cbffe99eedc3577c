"""Laws of the data set."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from mole.backbone import load_tower
from mole.config import DetectorConfig
from mole.detector import Detector
from mole.errors import SettingsError
from mole.preprocess import Preprocess
from pipeline.tune.dataset import Cached, aligned, augmented, balanced_order, balancing_weights, cache, shipped
from pipeline.tune.samples import read_manifest
from tests.pipeline.tune.conftest import EACH, SMALL

SPEC = Preprocess(mode="resize")


@pytest.fixture
def uneven() -> Cached:
    """Ten photographs, two of another source, and thirty generated images."""
    source = ("photos",) * 10 + ("holiday",) * 2 + ("painter",) * 30
    label_N = torch.tensor([0.0] * 12 + [1.0] * 30)
    return Cached(label_N, source, torch.zeros(42, 1, 1), torch.zeros(42, 1))


def test_views_keep_label_and_source_of_their_samples(manifest: Path) -> None:
    samples = read_manifest(manifest)
    for views in (shipped(samples, SPEC), aligned(samples, SPEC), augmented(samples, SPEC, 0)):
        assert views.pixels_N3SS.shape == (4 * EACH, 3, 224, 224)
        assert views.source == tuple(sample.source for sample in samples)
        assert views.label_N.tolist() == [float(sample.label) for sample in samples]


def test_augmented_views_follow_from_their_seed(manifest: Path) -> None:
    samples = read_manifest(manifest)[:3]
    first, again, other = (augmented(samples, SPEC, seed).pixels_N3SS for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_cached_tokens_give_the_logits_of_the_whole_detector(manifest: Path, tower: Path) -> None:
    torch.manual_seed(0)
    detector = Detector(load_tower(SMALL, tower), DetectorConfig()).eval()
    views = shipped(read_manifest(manifest)[:3], SPEC)
    cached = cache(detector, views, SPEC)
    with torch.no_grad():
        feature_NF = detector.feature(cached.token_NTD)[0]
    assert torch.allclose(cached.feature_NF, feature_NF, atol=1e-5)


def test_both_classes_and_all_sources_of_a_class_weigh_alike(uneven: Cached) -> None:
    weight_N = balancing_weights(uneven, torch.ones(42, dtype=torch.bool))
    shares = {name: float(weight_N[[s == name for s in uneven.source]].sum()) for name in set(uneven.source)}
    assert shares == pytest.approx({"photos": 0.25, "holiday": 0.25, "painter": 0.5})


def test_what_is_left_out_weighs_nothing(uneven: Cached) -> None:
    weight_N = balancing_weights(uneven, uneven.without(["holiday"]))
    assert float(weight_N[10:12].sum()) == 0.0
    assert float(weight_N.sum()) == pytest.approx(1.0)


def test_one_class_alone_is_refused(uneven: Cached) -> None:
    with pytest.raises(SettingsError, match=r"both classes, got only \['holiday', 'photos'\]"):
        balancing_weights(uneven, uneven.without(["painter"]))


def test_draws_follow_the_weights_and_never_what_is_left_out(uneven: Cached) -> None:
    weight_N = balancing_weights(uneven, uneven.without(["holiday"]))
    counts = Counter(balanced_order(weight_N, 600, seed=0))
    assert not {10, 11} & counts.keys()
    assert all(count in (29, 30, 31) for place, count in counts.items() if place < 10)
    assert all(count in (9, 10, 11) for place, count in counts.items() if place >= 12)


def test_an_order_follows_from_its_seed(uneven: Cached) -> None:
    weight_N = balancing_weights(uneven, torch.ones(42, dtype=torch.bool))
    assert balanced_order(weight_N, 50, seed=1) == balanced_order(weight_N, 50, seed=1)
    assert balanced_order(weight_N, 50, seed=1) != balanced_order(weight_N, 50, seed=2)


def test_joined_views_stand_one_after_the_other(uneven: Cached) -> None:
    both = uneven + uneven
    assert both.source == uneven.source * 2
    assert len(both.label_N) == len(both.token_NTD) == len(both.feature_NF) == 84
