"""Laws of fitting a head: it stands at the optimum, weights count as copies would, and a kernel bends where a line cannot."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mole.config import DetectorConfig
from mole.errors import SettingsError
from mole.model.head import Head, rbf_kernel
from mole.training.head_fit import LOGIT_SCALE, Examples, fit

PENALTY = 1e-3


def ring(images: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw generated images on a ring around the real ones, in the first two of eight numbers of unlike size."""
    random = torch.Generator().manual_seed(seed)
    label_N = (torch.arange(images) % 2).float()
    angle_N = torch.rand(images, generator=random) * 2 * torch.pi
    feature_NF = 0.3 * torch.randn(images, 8, generator=random)
    feature_NF[:, :2] += 2 * label_N[:, None] * torch.stack([angle_N.cos(), angle_N.sin()], dim=1)
    return feature_NF * torch.tensor([1.0, 100, 1, 1, 1, 1, 1, 0.01]) + 5, label_N


def fitted(
    config: DetectorConfig, given: tuple[Tensor, Tensor], weight_N: Tensor | None = None, whitening: float = 0.0
) -> tuple[Head, float]:
    """Fit a head; the penalised loss beside it."""
    torch.manual_seed(0)
    head = Head(given[0].shape[1], config, standard=True)
    weight_N = torch.ones_like(given[1]) if weight_N is None else weight_N
    loss = fit(head, Examples(*given, weight_N / weight_N.sum()), PENALTY, whitening)
    return head, loss


KERNEL = DetectorConfig(head="kernel", components=8, centres=100)


def right(head: Head, given: tuple[Tensor, Tensor]) -> float:
    """Share of the images on their side of zero."""
    with torch.no_grad():
        return float(((head(given[0]).squeeze(-1) > 0) == (given[1] > 0.5)).float().mean())


def test_a_line_is_sklearns_on_standardised_features() -> None:
    feature_NF, label_N = ring(80)
    feature_NF[:, 3] += label_N
    head, _ = fitted(DetectorConfig(), (feature_NF, label_N))
    standard = head.standard
    assert standard is not None
    standard_NF = standard(feature_NF)
    torch.testing.assert_close(standard_NF.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard_NF.std(0, unbiased=False), torch.ones(8), atol=1e-4, rtol=0)
    theirs = LogisticRegression(C=1 / (PENALTY * 80), tol=1e-8).fit(standard_NF.numpy(), label_N.numpy())
    torch.testing.assert_close(head.linear[0].weight[0], torch.from_numpy(theirs.coef_[0]).float(), atol=5e-3, rtol=0)


def test_a_kernel_and_a_perceptron_bend_where_a_line_cannot() -> None:
    seen, unseen = ring(400), ring(400, seed=1)
    line, bent = fitted(DetectorConfig(), seen)[0], fitted(KERNEL, seen)[0]
    deep = fitted(DetectorConfig(head_depth=2, head_width=16), seen)[0]
    assert right(line, unseen) < 0.75 < 0.93 < min(right(bent, unseen), right(deep, unseen))


def test_a_kernel_over_all_examples_stands_at_the_optimum_of_its_space() -> None:
    feature_NF, label_N = ring(60)
    head, loss = fitted(KERNEL.model_copy(update={"centres": 60}), (feature_NF, label_N))
    kernel, [last] = head.kernel, head.linear
    assert kernel is not None and head.standard is not None
    with torch.no_grad():
        logit_N = head(feature_NF).squeeze(-1)
        centre_CP = kernel.centre_CP.float()
        near_CC = rbf_kernel(centre_CP, centre_CP, kernel.gamma)
        near_NC = rbf_kernel(head.standard(feature_NF) @ kernel.turn_PF.float().T, centre_CP, kernel.gamma)
        # the slope of the penalty times aᵀ K a beside the mean squared miss is zero: penalty · K a = Nᵀ · share · miss
        missed_N = 2 * label_N - 1 - logit_N / LOGIT_SCALE
        own_C = last.weight[0] / LOGIT_SCALE
        assert float((PENALTY * near_CC @ own_C - near_NC.T @ missed_N / len(label_N)).abs().max()) < 1e-4
        length = own_C @ near_CC @ own_C
    assert loss == pytest.approx(float(missed_N.square().mean() + PENALTY * length), rel=1e-3)


@pytest.mark.parametrize("config", [DetectorConfig(), KERNEL.model_copy(update={"centres": 50})])
def test_the_same_examples_give_the_same_head_to_the_bit(config: DetectorConfig) -> None:
    first, second = (fitted(config, ring(60))[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("config", [DetectorConfig(), KERNEL.model_copy(update={"centres": 40})])
def test_an_example_of_no_weight_counts_for_nothing(config: DetectorConfig) -> None:
    feature_NF, label_N = ring(60)
    weight_N = torch.ones(60)
    weight_N[40:] = 0
    feature_NF[40:] = 1e3
    whole = fitted(config, (feature_NF, label_N), weight_N)[0]
    alone = fitted(config, (feature_NF[:40], label_N[:40]))[0]
    with torch.no_grad():
        torch.testing.assert_close(whole(feature_NF[:40]), alone(feature_NF[:40]), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_components_are_levelled_as_far_as_they_are_whitened(whitening: float) -> None:
    feature_NF, label_N = ring(60)
    feature_NF[:, 3:] += feature_NF[:, 2:3] * 3  # one direction of a large variance
    deviations = []
    for power in (0.0, whitening):
        head, _ = fitted(KERNEL.model_copy(update={"centres": 60}), (feature_NF, label_N), whitening=power)
        assert head.kernel is not None and head.standard is not None
        turned_NP = head.standard(feature_NF) @ head.kernel.turn_PF.float().T
        deviations.append(turned_NP.std(0, unbiased=False))
        assert float(head.kernel.gamma) == pytest.approx(1 / float(turned_NP.var(0, unbiased=False).sum()), rel=1e-2)
    torch.testing.assert_close(deviations[1], deviations[0] ** (1 - whitening), atol=0, rtol=0.02)
    assert float(deviations[0].max() / deviations[0].min()) > 10


def test_an_image_far_from_all_others_overflows_no_centre() -> None:
    feature_NF, label_N = ring(400)
    feature_NF[0] += 1e6
    plain, stretched = (
        fitted(KERNEL.model_copy(update={"centres": 400}), (given_NF, label_N))[0]
        for given_NF in (ring(400)[0], feature_NF)
    )
    for head in (plain, stretched):
        assert head.kernel is not None
        assert head.kernel.centre_CP.float().abs().max() < 300
        assert head(feature_NF[1:]).isfinite().all()
    assert right(stretched, (feature_NF[1:], label_N[1:])) > 0.5


def test_a_rounded_centre_costs_nothing_that_another_centre_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, unseen = ring(400), ring(400, seed=1)
    rounded = fitted(KERNEL, seen)[0]
    monkeypatch.setattr("mole.model.head.CENTRE_DTYPE", torch.float32)
    exact = fitted(KERNEL, seen)[0]
    with torch.no_grad():
        torch.testing.assert_close(rounded(unseen[0]), exact(unseen[0]), atol=0.15, rtol=0.05)
    assert right(rounded, unseen) > 0.93


def test_more_centres_than_examples_that_count_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"centres must lie in \[1, 60\], the examples that count, got 100"):
        fitted(KERNEL, ring(60))


def test_components_beyond_what_the_examples_span_are_nothing_to_any_image() -> None:
    feature_NF, label_N = ring(60)
    feature_NF[:, 4:] = 1.0
    head, _ = fitted(KERNEL.model_copy(update={"centres": 60}), (feature_NF, label_N))
    assert head.kernel is not None
    assert head.kernel.turn_PF[4:].abs().max() == 0 < head.kernel.turn_PF[3].abs().max()
