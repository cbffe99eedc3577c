"""Laws of the loop."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from mole.backbone import load_tower
from mole.config import DetectorConfig
from mole.detector import MoLE, learned
from mole.errors import SettingsError
from mole.metrics import auroc
from mole.training import Rates
from pipeline.tune.data.samples import Sample
from pipeline.tune.study.dataset import Cached
from pipeline.tune.study.loop import Plan, fit, kind, score
from tests.pipeline.tune.conftest import SMALL

PLAN = Plan(steps=6, alone=4, pairs=0, patches=49, penalty=1e-2, rates=Rates(head=1e-3, experts=1e-3), seed=0)
PAIRED = Plan(steps=20, alone=1, pairs=2, patches=30, penalty=1e-2, rates=Rates(head=1e-3, experts=3e-3), seed=0)
SAMPLES = tuple(Sample(str(number), number % 2, ("photos", "painter")[number % 2]) for number in range(40))


@pytest.fixture
def detector(tower: Path) -> MoLE:
    torch.manual_seed(0)
    return MoLE(load_tower(SMALL, tower), DetectorConfig())


@pytest.fixture
def cached(detector: MoLE) -> Cached:
    """Forty images whose class shows in every token, and their features."""
    torch.manual_seed(1)
    label_N = torch.tensor([float(sample.label) for sample in SAMPLES])
    return behind(detector, SAMPLES, torch.randn(40, 50, 384) + label_N[:, None, None] * torch.randn(384))


@pytest.fixture
def paired(detector: MoLE) -> Cached:
    """Ten pairs whose pictures differ by a little of what their contents have much of, and ten generated images."""
    torch.manual_seed(2)
    content = torch.randn(10, 50, 384) * 2
    trace = torch.randn(384) * 0.5
    pairs = [Sample(str(number // 2), number % 2, "photos", group=str(number // 2)) for number in range(20)]
    drawn = [Sample(f"d{number}", 1, "painter") for number in range(10)]
    tokens = torch.stack([content[number // 2] + number % 2 * trace for number in range(20)])
    return behind(detector, (*pairs, *drawn), torch.cat([tokens, torch.randn(10, 50, 384) + 1]))


def behind(detector: MoLE, samples: tuple[Sample, ...], token_NTD: torch.Tensor) -> Cached:
    """Cache tokens with the features that the fresh detector gives them."""
    with torch.no_grad():
        return Cached(samples, token_NTD, detector.feature(token_NTD)[0])


def keep_all(cached: Cached) -> torch.Tensor:
    return torch.ones(len(cached.samples), dtype=torch.bool)


def test_a_fit_tells_the_classes_apart(detector: MoLE, cached: Cached) -> None:
    reports = list(fit(detector, cached, keep_all(cached), PLAN))
    assert len(reports) == PLAN.steps
    logit_N, real_N = score(detector, cached.token_NTD), cached.label_N.numpy() == 0
    assert auroc(logit_N[real_N], logit_N[~real_N]) > 0.95


def test_no_steps_leave_the_experts_fresh_and_the_head_fitted(detector: MoLE, cached: Cached) -> None:
    before = {name: parameter.detach().clone() for name, parameter in learned(detector).items()}
    assert not list(fit(detector, cached, keep_all(cached), Plan(0, 8, 0, 49, 1e-2, Rates(), 0)))
    moved = {name for name, parameter in learned(detector).items() if not torch.equal(parameter, before[name])}
    assert moved == {"head.0.weight", "head.0.bias"}


def test_the_same_plan_gives_the_same_weights(tower: Path, cached: Cached) -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        detector = MoLE(load_tower(SMALL, tower), DetectorConfig())
        list(fit(detector, cached, keep_all(cached), PLAN))
        made.append(torch.cat([parameter.detach().flatten() for parameter in learned(detector).values()]))
    assert torch.equal(*made)


def test_what_is_left_out_changes_nothing(tower: Path, cached: Cached) -> None:
    noisy = Cached((*SAMPLES, Sample("x", 0, "holiday")), *padded(cached))
    made = []
    for each in (cached, noisy):
        torch.manual_seed(0)
        detector = MoLE(load_tower(SMALL, tower), DetectorConfig())
        list(fit(detector, each, ~each.of(["holiday"]), Plan(0, 4, 0, 49, 1e-2, Rates(), 0)))
        made.append(score(detector, cached.token_NTD))
    assert np.allclose(made[0], made[1], atol=1e-4)


def padded(cached: Cached) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and features with one more view at the end, far from all others."""
    more = 50 * torch.ones_like(cached.token_NTD[:1]), 50 * torch.ones_like(cached.feature_NF[:1])
    return torch.cat([cached.token_NTD, more[0]]), torch.cat([cached.feature_NF, more[1]])


def test_pairs_teach_what_tells_a_photograph_from_itself(detector: MoLE, paired: Cached) -> None:
    list(fit(detector, paired, keep_all(paired), PAIRED))
    logit_N = score(detector, paired.token_NTD)
    assert (logit_N[1:20:2] > logit_N[0:20:2]).mean() >= 0.9


def test_kinds_are_told_by_label_and_group() -> None:
    samples = [Sample("a", 0, "s"), Sample("a", 0, "s", "g"), Sample("a", 1, "s", "g"), Sample("b", 1, "t")]
    assert Counter(map(kind, samples)) == {"photograph": 2, "reconstruction": 1, "generated": 1}


def test_a_kind_that_a_step_sees_and_nobody_has_is_refused(detector: MoLE, cached: Cached) -> None:
    with pytest.raises(SettingsError, match="generated"):
        list(fit(detector, cached, ~cached.of(["painter"]), PLAN))
    with pytest.raises(SettingsError, match="reconstruction"):
        list(fit(detector, cached, keep_all(cached), PAIRED))


def test_scores_do_not_depend_on_what_else_is_scored(detector: MoLE, cached: Cached) -> None:
    alone = score(detector, cached.token_NTD[:3])
    assert score(detector, cached.token_NTD)[:3] == pytest.approx(alone, abs=1e-4)
