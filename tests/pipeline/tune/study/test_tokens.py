"""Laws of the tokens of a study."""

from pathlib import Path

import pytest
import torch

from mole.detector import learned
from mole.errors import ModelError, SettingsError
from pipeline.tune.study.recipe import Method, Recipe
from pipeline.tune.study.tokens import chosen, fresh, tokens
from tests.pipeline.tune.conftest import EACH, SMALL


def recipe(manifest: Path, tower: Path, **changes: object) -> Recipe:
    settings: dict[str, object] = {"manifest": manifest, "tower": tower, "backbone": SMALL, "draws": 1, "pairs": 0}
    return Recipe.model_validate(settings | changes)


def silent(line: str) -> None:
    """Tell nobody."""


def test_a_cap_of_its_own_wins_over_the_cap_of_all(manifest: Path, tower: Path) -> None:
    samples = chosen(recipe(manifest, tower, most=2, caps={"photos": 5}))
    counts = {source: sum(sample.source == source for sample in samples) for source in ("photos", "painter")}
    assert counts == {"photos": 5, "painter": 2}
    assert len(chosen(recipe(manifest, tower))) == 4 * EACH


def test_a_capped_source_that_is_not_there_is_refused(manifest: Path, tower: Path) -> None:
    with pytest.raises(SettingsError, match="'nobody'"):
        chosen(recipe(manifest, tower, caps={"nobody": 5}))


def test_a_shared_lora_has_no_fewer_parameters_than_the_mixture_and_hardly_more(manifest: Path, tower: Path) -> None:
    methods: tuple[Method, Method] = ("mole", "lora")
    mole, lora = (
        sum(parameter.numel() for parameter in learned(fresh(recipe(manifest, tower), method)).values())
        for method in methods
    )
    assert 1 <= lora / mole < 1.03


def test_a_fresh_detector_starts_the_same_each_time(manifest: Path, tower: Path) -> None:
    one, other = (learned(fresh(recipe(manifest, tower), "mole")) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_pairs_every_sample_is_delivered_alone(manifest: Path, tower: Path) -> None:
    given = recipe(manifest, tower, draws=2)
    samples = chosen(given)
    seen = tokens(given, samples, silent)
    assert seen.training.samples == tuple(samples) * 2
    [judged] = seen.judged
    assert judged.shipped.samples == judged.aligned.samples == tuple(samples)
    assert judged.matched is None


def test_each_crop_of_a_view_is_judged_and_training_sees_one(manifest: Path, tower: Path) -> None:
    given = recipe(manifest, tower, views=("crop", "texture-2"))
    samples = chosen(given)
    seen = tokens(given, samples, silent)
    one, two = seen.judged
    assert seen.training.samples == one.shipped.samples == tuple(samples)
    assert two.shipped.samples == two.aligned.samples == tuple(sample for sample in samples for _ in range(2))


def test_with_pairs_photographs_come_right_before_their_reconstructions(
    manifest: Path, tower: Path, shared: Path, tmp_path: Path
) -> None:
    given = recipe(manifest, tower, pairs=1, autoencoder=shared / "weights", cache=tmp_path)
    seen = tokens(given, chosen(given), silent)
    assert len(seen.training.samples) == 2 * EACH + 2 * 2 * EACH
    places = [place for place, sample in enumerate(seen.training.samples) if sample.group and sample.label]
    for place in places:
        photograph, other = seen.training.samples[place - 1 : place + 1]
        assert (photograph.label, photograph.group, photograph.source) == (0, other.group, other.source)
    [judged] = seen.judged
    assert judged.matched is not None
    assert len(judged.matched.samples) == 2 * 2 * EACH


def test_what_the_cache_holds_is_not_reconstructed_again(
    manifest: Path, tower: Path, shared: Path, tmp_path: Path
) -> None:
    given = {"pairs": 1, "cache": tmp_path / "cache"}
    first = recipe(manifest, tower, autoencoder=shared / "weights", **given)
    made = tokens(first, chosen(first), silent)
    gone = recipe(manifest, tower, autoencoder=tmp_path / "gone", **given)
    assert torch.equal(tokens(gone, chosen(gone), silent).training.token_NTD, made.training.token_NTD)
    uncached = recipe(manifest, tower, autoencoder=tmp_path / "gone", pairs=1)
    with pytest.raises(ModelError):
        tokens(uncached, chosen(uncached), silent)
