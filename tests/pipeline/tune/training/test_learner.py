"""Laws of the learner in a single process; training on many is in test_trainer.py."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from mole.config import DetectorConfig
from mole.errors import ModelError, SettingsError
from mole.model.detector import MoLE, learned
from mole.tower.backbone import assemble
from mole.tower.vit import Tower
from mole.views.preprocess import Preprocess
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.task import Schedule, Stage
from tests.timms import PE, SIGLIP, weights
from tests.tiny import CONFIG, SHAPE

SCHEDULE = Schedule(2, 4, (Stage("all", 3),), penalty=1e-2, head_rate=1e-2, expert_rate=1e-2, decay=0.0, patience=2)


KERNEL = DetectorConfig(blocks=(1,), reads=(2, 3), head="kernel", components=4, centres=8)


def learner(schedule: Schedule = SCHEDULE, config: DetectorConfig = CONFIG) -> Learner:
    torch.manual_seed(0)
    return Learner(MoLE(Tower(SHAPE), config), Preprocess(mode="crop"), schedule)


APART = replace(
    SCHEDULE,
    warmup_steps=0,
    steps=2,
    stages=(Stage("first", 1, ("alpha",)), Stage("second", 1, ("beta",)), Stage("all", 1, ("shared", "router"))),
)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    """Views behind the trunk, whose class shows in their brightness."""
    torch.manual_seed(1)
    label_B = (torch.arange(4) % 2).float()
    views = [torch.rand(4, 3, 224, 224) * 100 + 150 * label_B[:, None, None, None] for _ in range(count)]
    return [(learner().tokens(view_B3SS.to(torch.uint8)), label_B) for view_B3SS in views]


def test_warm_up_changes_no_weights_and_the_head_is_fitted_to_all_its_features() -> None:
    one = learner()
    before = one.state()
    views = batches(3)
    assert one.train_step(*views[0]) is None
    assert all(torch.equal(before[name], tensor) for name, tensor in one.state().items())
    assert one.train_step(*views[1]) is None
    moved = {name for name, tensor in one.state().items() if not torch.equal(before[name], tensor)}
    assert moved == {"head.0.weight", "head.0.bias"}
    assert one.train_step(*views[2]) is not None
    assert set(learned(one.detector)) > moved


@pytest.mark.parametrize("config", [CONFIG, KERNEL])
def test_a_learner_that_is_saved_and_restored_goes_on_as_if_nothing_had_happened(
    config: DetectorConfig, tmp_path: Path
) -> None:
    views = batches(8)
    through = learner(config=config)
    for view in views:
        through.train_step(*view)
    first, second = learner(config=config), learner(replace(SCHEDULE), config)
    for view in views[:5]:
        first.train_step(*view)
    first.record_score(0.7)
    first.save(tmp_path)
    second.restore(tmp_path)
    assert second.progress == first.progress
    for view in views[5:]:
        second.train_step(*view)
    assert all(torch.equal(tensor, second.state()[name]) for name, tensor in through.state().items())
    assert all(torch.equal(tensor, second.best[name]) for name, tensor in first.best.items())


def test_the_best_is_kept_and_patience_ends_the_training() -> None:
    one = learner()
    for view in batches(3):
        one.train_step(*view)
    one.record_score(0.8)
    best = one.best
    one.train_step(*batches(1)[0])
    one.record_score(0.7)
    assert not one.done
    one.record_score(0.8)  # as good is not better
    assert (one.done, one.progress.stale) == (True, 2)
    assert all(torch.equal(tensor, one.best[name]) for name, tensor in best.items())


def test_the_last_step_ends_it_too() -> None:
    one = learner(replace(SCHEDULE, steps=1))
    for view in batches(3):
        assert not one.done
        one.train_step(*view)
    assert one.done


def test_the_trunk_keeps_no_gradient_and_nothing_frozen_has_one() -> None:
    one = learner(replace(SCHEDULE, warmup_steps=0))
    assert not batches(1)[0][0].requires_grad
    one.train_step(*batches(1)[0])
    names = {name for name, parameter in one.detector.named_parameters() if parameter.grad is not None}
    assert names == set(learned(one.detector))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="missing"):
        learner().load_state({})


def test_a_stage_moves_its_expert_alone_and_the_others_are_silent_in_it() -> None:
    one = learner(APART)
    before, views = one.state(), batches(2)
    for view in views:
        one.train_step(*view)
    one.record_score(0.7)
    assert one.ended and not one.done
    after = one.merged_state()
    name = next(name for name in before if name.endswith("up_DR"))
    alpha = slice(CONFIG.shared_rank, CONFIG.shared_rank + CONFIG.expert_ranks[0])
    rest = [rank for rank in range(after[name].shape[1]) if rank not in range(alpha.start, alpha.stop)]
    assert after[name][:, alpha].any() and not after[name][:, rest].any()
    one.next_stage()
    assert one.stage.name == "second" and not one.progress.fitted
    assert not one.state()[name].any(), "what was trained apart is silent while the next one learns"
    for view in views:
        one.train_step(*view)
    one.record_score(0.6)
    one.next_stage()
    assert torch.equal(one.state()[name][:, alpha], after[name][:, alpha]), "and comes back as it was"
    for view in views:
        one.train_step(*view)
    assert torch.equal(one.state()[name][:, alpha], after[name][:, alpha])
    assert one.state()[name][:, : alpha.start].any()
    one.record_score(0.8)
    assert one.done


def test_a_stage_that_is_restored_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    views = batches(3)
    one, other = learner(APART), learner(APART)
    for number, view in enumerate(views):
        one.train_step(*view)
        if number == 1:
            one.record_score(0.7)
            one.next_stage()
    one.save(tmp_path)
    other.restore(tmp_path)
    for again in (one, other):
        again.train_step(*views[0])
    assert all(torch.equal(tensor, other.merged_state()[name]) for name, tensor in one.merged_state().items())


def test_consistency_draws_the_logits_of_two_variants_together() -> None:
    torch.manual_seed(2)
    token_BTD, label_B = torch.randn(4, 50, 64), torch.tensor([0.0, 0.0, 1.0, 1.0])

    def apart(consistency: float) -> float:
        one = learner(replace(SCHEDULE, warmup_steps=0, steps=40, consistency=consistency, head_rate=5e-2))
        for _ in range(30):
            one.train_step(token_BTD, label_B)
        logit_B = one.logits(token_BTD)
        return float(abs(logit_B[0] - logit_B[1]) + abs(logit_B[2] - logit_B[3]))

    assert apart(100.0) < 0.5 * apart(0.0)


def test_a_step_may_keep_some_patches_and_always_the_class_token() -> None:
    torch.manual_seed(3)
    token_BTD, label_B = torch.randn(4, 50, 64), (torch.arange(4) % 2).float()

    def after(patches: int | None, token_BTD: Tensor) -> Tensor:
        one = learner(replace(SCHEDULE, warmup_steps=0, patches=patches))
        one.train_step(token_BTD, label_B)
        return torch.cat([tensor.flatten() for tensor in one.state().values()])

    assert torch.equal(after(None, token_BTD), after(49, token_BTD))
    assert not torch.equal(after(None, token_BTD), after(10, token_BTD))
    other = token_BTD.clone()
    other[:, 0] = 0
    assert not torch.equal(after(10, other), after(10, token_BTD))


def test_no_patch_is_dropped_for_a_tower_with_rotary_position_embeddings() -> None:
    config = DetectorConfig(blocks=(2,), reads=(2, 3), pooling=("mean",), expert_ranks=(2,))
    some = replace(SCHEDULE, patches=3)
    turning, adding = (MoLE(assemble(shape, weights(shape), "tiny"), config) for shape in (PE, SIGLIP))
    with pytest.raises(SettingsError, match="--patches 3 drops patches"):
        Learner(turning, Preprocess(), some)
    assert Learner(adding, Preprocess(), some).schedule.patches == 3


def kernel_of(rank: int, processes: int, folder: Path) -> None:
    """In a process of its own, fit a kernel head to its share of the features, and save the state."""
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=processes)
    one = learner(config=KERNEL)
    torch.manual_seed(2)
    feature_NF, label_N = torch.randn(32, one.detector.head.features), (torch.arange(32) % 2).float()
    own = slice(rank, None, processes)
    one.fit_head(feature_NF[own], label_N[own], torch.ones_like(label_N[own]))
    distributed.destroy_process_group()
    save_file(one.state(), folder / f"{rank}.safetensors")


def test_processes_that_fit_a_kernel_together_have_the_same_to_the_bit(tmp_path: Path) -> None:
    spawn(kernel_of, (2, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert first["head.1.centre_CP"].float().any()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_experts_learn_under_a_linear_head_and_the_kernel_is_fitted_to_what_they_made(tmp_path: Path) -> None:
    stages = (Stage("experts", 1, head="layers", penalty=1e-3), Stage("head", 0))
    schedule = replace(SCHEDULE, warmup_steps=0, steps=2, stages=stages)
    one, views = learner(schedule, KERNEL), batches(2)

    def fit(which: Learner) -> None:
        features = torch.cat([which.features(token_BTD) for token_BTD, _ in views] * 4)
        label_N = torch.cat([label_B for _, label_B in views] * 4)
        which.fit_head(features, label_N, torch.ones_like(label_N))

    fit(one)
    assert one.detector.head.kernel is None and len(one.detector.head.linear) == 1
    for view in views:
        one.train_step(*view)
    one.record_score(None)
    one.save(tmp_path)
    again = learner(schedule, KERNEL)
    again.restore(tmp_path)
    for which in (one, again):
        assert which.ended and not which.done
        which.next_stage()
        assert which.detector.head.kernel is not None and which.has_trained_experts
        fit(which)
        which.record_score(None)
        assert which.done
    assert set(one.merged_state()) == set(learner(config=KERNEL).state())
    assert all(torch.equal(tensor, again.merged_state()[name]) for name, tensor in one.merged_state().items())
