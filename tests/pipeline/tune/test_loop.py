"""Laws of the loop."""

from pathlib import Path

import pytest
import torch

from mole.backbone import load_tower
from mole.config import DetectorConfig
from mole.detector import Detector, learned
from mole.metrics import auroc
from mole.training import Rates
from pipeline.tune.dataset import Cached
from pipeline.tune.loop import Plan, fit, schedule, score
from tests.pipeline.tune.conftest import SMALL

PLAN = Plan(steps=6, batch_size=8, penalty=1e-2, rates=Rates(head=1e-3, experts=1e-3), seed=0)


@pytest.fixture
def detector(tower: Path) -> Detector:
    torch.manual_seed(0)
    return Detector(load_tower(SMALL, tower), DetectorConfig())


@pytest.fixture
def cached(detector: Detector) -> Cached:
    """Forty images whose class shows in every token, and their features."""
    torch.manual_seed(1)
    label_N = (torch.arange(40) % 2).float()
    token_NTD = torch.randn(40, 50, 384) + label_N[:, None, None] * torch.randn(384)
    with torch.no_grad():
        feature_NF = detector.feature(token_NTD)[0]
    return Cached(label_N, ("photos", "painter") * 20, token_NTD, feature_NF)


def keep_all(cached: Cached) -> torch.Tensor:
    return torch.ones(len(cached.label_N), dtype=torch.bool)


def test_a_fit_tells_the_classes_apart(detector: Detector, cached: Cached) -> None:
    reports = list(fit(detector, cached, keep_all(cached), PLAN))
    assert len(reports) == PLAN.steps
    logit_N, real_N = score(detector, cached.token_NTD), cached.label_N.numpy() == 0
    assert auroc(logit_N[real_N], logit_N[~real_N]) > 0.95


def test_no_steps_leave_the_experts_fresh_and_the_head_fitted(detector: Detector, cached: Cached) -> None:
    before = {name: parameter.detach().clone() for name, parameter in learned(detector).items()}
    assert not list(fit(detector, cached, keep_all(cached), Plan(0, 8, 1e-2, Rates(), 0)))
    moved = {name for name, parameter in learned(detector).items() if not torch.equal(parameter, before[name])}
    assert moved == {"head.0.weight", "head.0.bias"}


def test_the_same_plan_gives_the_same_weights(tower: Path, cached: Cached) -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        detector = Detector(load_tower(SMALL, tower), DetectorConfig())
        list(fit(detector, cached, keep_all(cached), PLAN))
        made.append(torch.cat([parameter.detach().flatten() for parameter in learned(detector).values()]))
    assert torch.equal(*made)


def test_scores_do_not_depend_on_what_else_is_scored(detector: Detector, cached: Cached) -> None:
    alone = score(detector, cached.token_NTD[:3])
    assert score(detector, cached.token_NTD)[:3] == pytest.approx(alone, abs=1e-4)


def test_rates_rise_then_fall_to_nothing() -> None:
    shares = [schedule(step, 100) for step in range(100)]
    assert shares[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert max(shares) == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert 0 < shares[-1] < 0.01


def test_one_step_is_taken_at_full_rate() -> None:
    assert schedule(0, 1) == 1.0
