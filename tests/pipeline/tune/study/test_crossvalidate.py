"""Laws of a study, on a small tower, a handful of pictures and a real autoencoder."""

from pathlib import Path

import pytest

from mole.checkpoint import load_checkpoint
from mole.errors import SettingsError
from pipeline.tune.study.crossvalidate import Study, crossvalidate
from pipeline.tune.study.recipe import Recipe
from tests.pipeline.tune.conftest import EACH, SMALL

SOURCES = {"photos", "painter", "holiday", "dreamer"}


def recipe(manifest: Path, tower: Path, **changes: object) -> Recipe:
    settings: dict[str, object] = {
        "manifest": manifest,
        "tower": tower,
        "backbone": SMALL,
        "folds": (("photos", "painter"), ("holiday", "dreamer")),
        "false_positive_rate": 0.25,
        "draws": 1,
        "steps": 2,
        "alone": 2,
        "pairs": 0,
    }
    return Recipe.model_validate(settings | changes)


def silent(line: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def made(manifest: Path, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of one small study."""
    output = tmp_path_factory.mktemp("made")
    crossvalidate(recipe(manifest, tower, output=output), silent)
    return output


@pytest.fixture(scope="module")
def compared(manifest: Path, tower: Path, shared: Path) -> Study:
    """All three methods, with pairs."""
    settings = {"methods": ("linear", "lora", "mole"), "pairs": 1, "autoencoder": shared / "weights"}
    return crossvalidate(recipe(manifest, tower, **settings), silent)


def test_a_study_leaves_a_checkpoint_that_loads(made: Path) -> None:
    checkpoint = load_checkpoint(made)
    assert checkpoint.preprocess.mode == "crop"
    assert checkpoint.calibration.reals == 2 * EACH


def test_its_figures_name_every_held_out_source(made: Path) -> None:
    measured = load_checkpoint(made).description.config.provenance["measured"]
    assert {figure["source"] for figure in measured["held_out_sources"]} == SOURCES
    assert set(measured["share_called_generated"]) == {*SOURCES, "all real"}


def test_it_says_how_it_was_made_and_names_no_place(made: Path, manifest: Path) -> None:
    settings = load_checkpoint(made).description.config.provenance["recipe"]
    assert settings["steps"] == 2
    assert str(manifest.parent) not in (made / "config.json").read_text()


def test_the_same_recipe_gives_the_same_model(made: Path, manifest: Path, tower: Path, tmp_path: Path) -> None:
    cache = {"output": tmp_path, "cache": tmp_path / "cache"}
    again = crossvalidate(recipe(manifest, tower, **cache), silent).checkpoint
    assert again is not None
    assert again.digest == load_checkpoint(made).description.digest


def test_without_an_output_nothing_is_written(compared: Study) -> None:
    assert compared.checkpoint is None


def test_every_method_is_judged_on_the_same_sources(compared: Study) -> None:
    assert list(compared.methods) == ["linear", "lora", "mole"]
    for judged in compared.methods.values():
        assert {figure.source for figure in judged.sources} == SOURCES


def test_photographs_are_judged_against_their_own_reconstructions(compared: Study) -> None:
    for judged in compared.methods.values():
        assert [(figure.source, figure.pairs) for figure in judged.photographs] == [("holiday", EACH), ("photos", EACH)]


def test_every_view_is_judged_after_one_training_and_the_first_is_kept(
    manifest: Path, tower: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    views = {"views": ("crop-4", "crop"), "output": tmp_path}
    study = crossvalidate(recipe(manifest, tower, **views), lines.append)
    assert list(study.methods) == ["mole crop-4", "mole crop"]
    assert sum(line.startswith("mole without photos") for line in lines) == 1
    several, one = (judged.held.shipped_N for judged in study.methods.values())
    assert len(several) == len(one) == 4 * EACH
    assert load_checkpoint(tmp_path).preprocess.name == "crop-4"


def test_methods_differ_in_what_they_learn(compared: Study) -> None:
    shipped = [judged.held.shipped_N.tolist() for judged in compared.methods.values()]
    assert shipped[0] != shipped[1] != shipped[2]


def test_a_source_that_is_not_there_is_refused(manifest: Path, tower: Path) -> None:
    with pytest.raises(SettingsError, match="'nobody'"):
        crossvalidate(recipe(manifest, tower, calibration=("nobody",)), silent)


def test_pairs_without_an_autoencoder_are_refused(manifest: Path, tower: Path) -> None:
    with pytest.raises(SettingsError, match="--autoencoder"):
        crossvalidate(recipe(manifest, tower, pairs=2), silent)
