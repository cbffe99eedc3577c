"""Laws of a training on cached tokens in a single process; the train loop is the same as on many."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from mole.config import describe
from mole.views.preprocess import Preprocess
from mole.views.view import views
from pipeline.tune.data.collection import TEST, VALIDATION, Collection
from pipeline.tune.data.samples import Sample, load
from pipeline.tune.data.split import TRAIN
from pipeline.tune.evaluation.perturbation import ALIGNED, ORIGINAL, perturbation
from pipeline.tune.training.checkpoints import last_checkpoint
from pipeline.tune.training.fold import FoldResult, train_fold
from pipeline.tune.training.learner import MERGED
from pipeline.tune.training.loaders import CachedLoader, WorkerRank
from pipeline.tune.training.loop import WorkerContext, build_learner, train_loop
from pipeline.tune.training.recipe import Recipe
from pipeline.tune.training.trainer import history, train
from pipeline.tune.training.training_run import TrainingRun, prepare, task_of
from tests.pictures import picture
from tests.tiny import tiny_checkpoint

TINY_RECIPE: dict[str, Any] = {
    "samples": ["s"],
    "precision": "float32",
    "epochs": 2,
    "batch_size": 8,
    "augmentations": 2,
}
TINY_RECIPE |= {"view": "resize+crop", "expert_lr": 1e-2, "head_lr": 1e-3, "penalty": 1e-2, "epoch_images": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector, and a folder for the token cache."""
    place = tmp_path_factory.mktemp("fold")
    tiny_checkpoint(place / "base", preprocess=Preprocess(mode="resize"))
    return place


@pytest.fixture(scope="module")
def collection(folder: Path) -> Collection:
    """Pictures of two sources, whose class shows in their sharpness, in three splits."""
    samples, splits = [], []
    for number in range(28):
        file = folder / "pictures" / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(picture(number, side=400 if number % 2 else 120))
        samples.append(Sample(str(file), number % 2, "made" if number % 2 else "photos", group=f"{number}"))
        splits.append(TRAIN if number < 16 else VALIDATION if number < 22 else TEST)
    digests = pa.table({"digest": [f"{number:032}" for number in range(28)]})
    return Collection(samples, splits, digests, Counter())


@pytest.fixture(scope="module")
def prepared(local_ray: None, folder: Path, collection: Collection) -> Callable[..., TrainingRun]:
    """Prepare a training whose tokens are in the shared folder."""

    def make(name: str, **more: Any) -> TrainingRun:
        recipe = Recipe.model_validate(TINY_RECIPE | {"token_cache": str(folder / "tokens")} | more)
        base = describe(folder / "base")
        task = task_of(recipe, (str(folder / "base"), base), collection, str(folder / "runs"))
        task = replace(task, run=f"{task.run}-{name}")
        return prepare(recipe, task, base, (collection, None), perturbations=(ORIGINAL, ALIGNED))

    return make


def folded(run: TrainingRun) -> FoldResult:
    assert run.cached is not None
    return train_fold(run.task, run.cached, run.plan, run.test_views)


def outcome(run: TrainingRun) -> dict[str, torch.Tensor]:
    with last_checkpoint(run.task.run) as saved:
        assert saved is not None
        return load_file(saved / MERGED)


def test_the_same_recipe_gives_the_same_weights_and_a_run_that_was_killed_ends_there_too(
    prepared: Callable[..., TrainingRun],
) -> None:
    first, again, killed = (prepared(name) for name in ("first", "again", "killed"))
    found = folded(first)
    assert folded(again).logits == found.logits
    assert all(torch.equal(tensor, outcome(again)[name]) for name, tensor in outcome(first).items())

    def kill(step: int) -> None:
        if step == 6:  # behind the checkpoint of the first epoch
            raise InterruptedError

    assert killed.cached is not None
    loader = CachedLoader(killed.cached, killed.plan, WorkerRank())
    with pytest.raises(InterruptedError):
        train_loop(killed.task, build_learner(killed.task, torch.device("cpu")), loader, WorkerContext(on_step=kill))
    assert [entry["step"] for entry in history(killed.task.run)] == [0, 4]
    assert folded(killed).logits == found.logits
    assert [entry["step"] for entry in history(killed.task.run)] == [0, 4, 8]


def test_held_out_images_are_scored_as_the_detector_scores_them_under_each_perturbation(
    prepared: Callable[..., TrainingRun], collection: Collection
) -> None:
    run = prepared("scored")
    found = folded(run)
    learner = build_learner(run.task, torch.device("cpu"))
    learner.load_state(outcome(run))
    for name in (ORIGINAL, ALIGNED):
        for sample, logit in zip(collection.of(TEST), found.logits[name], strict=True):
            pictures = views(perturbation(name)(load(sample), 0).numpy(), run.task.spec)
            token_VTD = learner.tokens(torch.from_numpy(pictures))
            assert logit == pytest.approx(float(learner.logits(token_VTD).mean()), abs=1e-5)
    told = history(run.task.run)
    assert told[0]["losses"] == [] and len(told[-1]["losses"]) == 4


def test_a_finished_fold_is_not_repeated_but_scores_a_further_perturbation_if_requested(
    prepared: Callable[..., TrainingRun],
) -> None:
    run = prepared("done")
    first = folded(replace(run, test_views={ORIGINAL: run.test_views[ORIGINAL]}))
    found = folded(run)
    assert set(found.logits) == {ORIGINAL, ALIGNED} and found.logits[ORIGINAL] == first.logits[ORIGINAL]
    assert len(history(run.task.run)) == 3
    (Path(run.task.run) / "checkpoints").rename(Path(run.task.run) / "gone")
    assert folded(run) == found


def test_without_epochs_only_the_head_is_fitted_and_only_features_are_cached(
    prepared: Callable[..., TrainingRun], folder: Path
) -> None:
    prepared("whole")
    run = prepared("head", epochs=0, reads=(3,), shared_rank=0, expert_ranks=())
    assert run.cached is not None and not run.cached.has_tokens
    found = folded(run)
    assert [entry["step"] for entry in history(run.task.run)] == [0]
    assert found.parameters == 65  # of a linear head on one class token
    sizes = {place: sum(file.stat().st_size for file in place.glob("*")) for place in (folder / "tokens").iterdir()}
    assert sizes[Path(run.cached.folder)] < max(sizes.values()) / 10


def test_experts_are_trained_apart_and_then_weighed_by_the_router(prepared: Callable[..., TrainingRun]) -> None:
    stages = [
        {"name": "alpha", "epochs": 1, "learns": ["alpha"], "kinds": ["generated"]},
        {"name": "beta", "epochs": 1, "learns": ["beta"]},
        {"name": "all", "epochs": 1, "learns": ["shared", "router"]},
    ]
    run = prepared("apart", stages=stages, patches=20)
    folded(run)
    told = history(run.task.run)
    assert [(entry["stage"], entry["step"]) for entry in told] == [
        *(("alpha", 0), ("alpha", 4), ("beta", 4), ("beta", 8), ("all", 8), ("all", 12)),
    ]
    up_DR = next(tensor for name, tensor in outcome(run).items() if name.endswith("up_DR"))
    shared, alpha, beta, gamma = torch.split(up_DR, [4, 2, 3, 4], dim=1)
    scored = [entry["validation"]["made"] for entry in told]
    better = [after > before for before, after in zip(scored[::2], scored[1::2], strict=True)]
    assert [bool(part.any()) for part in (alpha, beta, shared)] == better, "the best of each stage is kept"
    assert not gamma.any()


def test_cached_views_are_never_computed_again(
    prepared: Callable[..., TrainingRun], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared("once")
    assert first.cached is not None
    before = {file: file.stat().st_mtime_ns for file in Path(first.cached.folder).iterdir()}
    prepared("twice", seed=0, expert_lr=5e-3, shared_rank=2)
    assert {file: file.stat().st_mtime_ns for file in Path(first.cached.folder).iterdir()} == before
    lost = min(before)
    lost.unlink()
    assert prepared("mended").cached == first.cached, "only what is lost is made again"
    after = {file: file.stat().st_mtime_ns for file in Path(first.cached.folder).iterdir()}
    assert all(after[file] == before[file] for file in after.keys() & before.keys() - {lost})


def test_two_workers_end_where_one_process_ends(prepared: Callable[..., TrainingRun]) -> None:
    alone, many = prepared("alone"), prepared("many")
    folded(alone)
    trained = train(many, processes=2, gpu=False)
    assert trained.epochs == 2 and len(trained.history) == 3
    ends = [
        torch.cat([tensor.flatten().double() for _, tensor in sorted(own.items())])
        for own in (outcome(alone), trained.adapters)
    ]
    assert float((ends[0] - ends[1]).norm() / ends[0].norm()) < 0.05
