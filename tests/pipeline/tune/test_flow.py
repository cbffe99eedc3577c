"""Laws of the flow of a training, on a small tower and a handful of pictures."""

from pathlib import Path

import pytest

from mole.checkpoint import load_checkpoint
from mole.errors import SettingsError
from pipeline.tune.flow import tune
from pipeline.tune.recipe import Recipe
from tests.pipeline.tune.conftest import EACH, SMALL


def recipe(manifest: Path, tower: Path, output: Path, **changes: object) -> Recipe:
    settings: dict[str, object] = {
        "manifest": manifest,
        "tower": tower,
        "output": output,
        "backbone": SMALL,
        "folds": (("photos", "painter"), ("holiday", "dreamer")),
        "false_positive_rate": 0.25,
        "steps": 2,
        "batch_size": 4,
    }
    return Recipe.model_validate(settings | changes)


@pytest.fixture(scope="module")
def made(manifest: Path, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of one small training."""
    output = tmp_path_factory.mktemp("made")
    tune(recipe(manifest, tower, output), lambda line: None)
    return output


def test_a_training_leaves_a_checkpoint_that_loads(made: Path) -> None:
    checkpoint = load_checkpoint(made)
    assert checkpoint.preprocess.mode == "resize"
    assert checkpoint.calibration.reals == 2 * EACH


def test_its_figures_name_every_held_out_source(made: Path) -> None:
    measured = load_checkpoint(made).description.config.provenance["measured"]
    assert {figure["source"] for figure in measured["held_out_sources"]} == {"photos", "painter", "holiday", "dreamer"}
    assert set(measured["share_called_generated"]) == {"photos", "painter", "holiday", "dreamer", "all real"}


def test_it_says_how_it_was_made_and_names_no_place(made: Path, manifest: Path) -> None:
    settings = load_checkpoint(made).description.config.provenance["recipe"]
    assert settings["steps"] == 2
    assert str(manifest.parent) not in (made / "config.json").read_text()


def test_the_same_recipe_gives_the_same_model(made: Path, manifest: Path, tower: Path, tmp_path: Path) -> None:
    again = tune(recipe(manifest, tower, tmp_path, cache=tmp_path / "cache"), lambda line: None)
    assert again.digest == load_checkpoint(made).description.digest


def test_a_source_that_is_not_there_is_refused(manifest: Path, tower: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'nobody'"):
        tune(recipe(manifest, tower, tmp_path, calibration=("nobody",)), lambda line: None)
