"""Laws of the recipe."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.tune.study.recipe import PLACES as PLACES_OF_A_MACHINE
from pipeline.tune.study.recipe import Recipe

PLACES = ["--manifest", "m.csv", "--output", "out", "--tower", "t.safetensors"]


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.toml").write_text('steps = 1\ndraws = 2\nviews = ["crop"]\n')
    monkeypatch.setenv("MOLE_TUNE_STEPS", "3")
    monkeypatch.setenv("MOLE_TUNE_DRAWS", "4")
    recipe = Recipe.from_command_line([*PLACES, "--config", str(tmp_path / "r.toml"), "--steps", "5"])
    assert (recipe.steps, recipe.draws, recipe.views) == (5, 4, ("crop",))


@pytest.mark.parametrize("file", ["mole/embedded/recipe.toml", "examples/pairs.toml"])
def test_the_recipes_that_are_shipped_are_recipes(root: Path, file: str) -> None:
    recipe = Recipe.from_command_line([*PLACES, "--config", str(root / file)])
    held_out = [source for fold in recipe.folds for source in fold]
    assert len(held_out) == len(set(held_out)) == 13
    assert set(recipe.calibration) < set(held_out)


@pytest.mark.parametrize(
    "flags",
    [
        ["--steps", "-1"],
        ["--views", "squint"],
        ["--views", "resize,crop"],
        ["--views", "resize+crop"],
        ["--views", "crop-3"],
        ["--penalty", "0"],
        ["--config", "no.toml"],
        ["--methods", "magic"],
    ],
)
def test_what_cannot_be_is_refused(flags: list[str]) -> None:
    with pytest.raises(SettingsError):
        Recipe.from_command_line([*PLACES, *flags])


def test_an_unknown_flag_ends_with_the_code_of_settings() -> None:
    with pytest.raises(SettingsError, match="there is no flag --no-such-flag") as refused:
        Recipe.from_command_line([*PLACES, "--no-such-flag", "1"])
    assert refused.value.exit_code == 2


def test_a_missing_place_is_named() -> None:
    with pytest.raises(SettingsError, match="--manifest"):
        Recipe.from_command_line(PLACES[2:])


def test_a_recipe_cannot_be_changed() -> None:
    recipe = Recipe.from_command_line(PLACES)
    with pytest.raises(ValueError, match="frozen"):
        recipe.__setattr__("steps", 7)


def test_methods_are_one_flag_with_commas() -> None:
    assert Recipe.from_command_line([*PLACES, "--methods", "linear,mole"]).methods == ("linear", "mole")


def test_places_of_a_machine_are_settings_and_no_part_of_the_recipe() -> None:
    assert set(Recipe.model_fields) > PLACES_OF_A_MACHINE
