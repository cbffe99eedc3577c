"""Laws of the recipe."""

from pathlib import Path
from typing import Any

import pytest

from mole.errors import SettingsError
from pipeline.tune.training.recipe import Recipe
from pipeline.tune.training.settings import CrossvalidateSettings, FinetuneSettings

WRITTEN = """
samples = ["a.csv", "b.csv"]
folds = [["one", "two"], ["three"]]
reads = [6, 8]
blocks = []
epochs = 2
[[stages]]
name = "alpha"
epochs = 3
learns = ["alpha"]
kinds = ["generated"]
[[stages]]
name = "all"
epochs = 1
[methods."head, block 8"]
reads = [8]
stages = []
[methods.mole]
"""


def recipe(**more: Any) -> Recipe:
    return Recipe.model_validate({"samples": ["s"]} | more)


def test_one_file_is_the_recipe_of_a_training_and_of_its_cross_validation(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(WRITTEN)
    file = f"--config={tmp_path / 'recipe.toml'}"
    one = FinetuneSettings.from_command_line([file, "--registry=r", "--method=mole"])
    other = CrossvalidateSettings.from_command_line([file, "--output=o", "--workers=1"])
    assert one.folds == other.folds == (("one", "two"), ("three",))
    assert one.stages == other.stages and [stage.name for stage in one.stages] == ["alpha", "all"]
    assert (one.reads, one.blocks, one.epochs) == ((6, 8), (), 2)


def test_a_variation_changes_what_it_names_and_keeps_the_rest() -> None:
    own = recipe(reads=(6, 8), weight_decay=0.1, methods={"one": {"reads": [8], "stages": []}})
    varied = own.varied("one")
    assert (varied.reads, varied.weight_decay, varied.method) == ((8,), 0.1, "one")
    assert own.varied(None) is own
    with pytest.raises(SettingsError, match="method 'one' is refused.*epochs"):
        recipe(methods={"one": {"epochs": -1}}).varied("one")
    with pytest.raises(SettingsError, match=r"method 'one' sets \['most', 'tokens'\]"):
        recipe(methods={"one": {"most": 3, "tokens": "t"}}).varied("one")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stages": [{"name": "a", "epochs": 1, "learns": ["omega"]}]}, "learns must name some of alpha"),
        ({"stages": [{"name": "a", "epochs": 1, "learns": ["alpha"]}]}, "the last of --stages must train the router"),
        ({"stages": [{"name": "a", "epochs": 1, "head": "layers"}]}, "the last of --stages must use the detector"),
        ({"method": "other"}, "--method must be one of"),
        ({"consistency": 1.0, "batch_size": 5}, "--batch-size must be even with --consistency, got 5"),
        ({"token_cache": "none", "epochs": 0}, "--epochs must be at least 1 with --token-cache none"),
        ({"view": "wide"}, "must be resize, crop, crop-4, texture-4 or resize"),
    ],
)
def test_what_no_training_can_be_made_of_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe(**more)
