"""Laws of the settings of a training."""

import json
from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.tune.training.recipe import RUNTIME_SETTINGS
from pipeline.tune.training.settings import CrossvalidateSettings, FinetuneSettings

RECIPES = ("experts", "methods", "views")
NEEDED = ["--samples", "a", "--samples", "b", "--registry", "r"]


def test_lists_and_names_are_read_from_flags() -> None:
    read = FinetuneSettings.from_command_line([*NEEDED, "--hold-out", "x, y", "--expert-ranks", "2,4", "--align"])
    assert (read.samples, read.hold_out, read.expert_ranks, read.align) == (["a", "b"], ("x", "y"), (2, 4), True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--test-share", "1"], "--test-share must be below 1, got '1'"),
        (["--expert-ranks", "0"], "--expert-ranks must be above 0, got '0'"),
        (["--precision", "int8"], "--precision must be auto, bfloat16 or float32, got 'int8'"),
        (["--head-lr", "-1"], "--head-lr must be at least 0, got '-1'"),
        (["--base-tower", "PE-Core-B-16"], "must be given together: .* got --base-tower 'PE-Core-B-16' alone"),
        (
            ["--pretrained", "meta"],
            "--base-tower and --pretrained must be given together: .* got --pretrained 'meta' alone",
        ),
        (
            ["--base-tower", "x", "--pretrained", "y", "--base", "z"],
            "--base-tower replaces the base; leave out --base 'z'",
        ),
    ],
)
def test_a_refusal_names_the_flag_the_bound_and_the_value(flags: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        FinetuneSettings.from_command_line([*NEEDED, *flags])


RENAMED = [
    ("seams", "detect_grids", '["album"]'),
    ("edges", "crop_edges", "{ album = 0.07 }"),
    ("judged", "perturbations", '["shipped", "aligned", "native"]'),
    ("deliveries", "augmentations", "8"),
    ("head_rate", "head_lr", "1e-3"),
    ("tokens", "token_cache", '"none"'),
    ("most", "max_per_source", "9"),
]
"""Former and present names of settings, each with a value."""


def test_a_recipe_in_the_old_names_reads_as_one_in_the_new(tmp_path: Path) -> None:
    read = []
    for which in (0, 1):
        file = tmp_path / f"{which}.toml"
        file.write_text("\n".join(['folds = [["a"], ["b"]]', *(f"{names[which]} = {names[2]}" for names in RENAMED)]))
        read.append(CrossvalidateSettings.from_command_line(["--samples", "a", "--output", "o", "--config", str(file)]))
    old, new = (one.model_copy(update={"config": None}) for one in read)
    assert old == new
    assert (new.augmentations, new.perturbations, new.crop_edges) == (
        8,
        ("shipped", "aligned", "native"),
        {"album": 0.07},
    )
    before = ["--deliveries", "8", "--judged", "shipped,aligned,native", "--seams", "album", "--head-rate", "1e-3"]
    more = ["--folds", '[["a"], ["b"]]', "--edges", '{"album": 0.07}', "--tokens", "none", "--most", "9"]
    assert CrossvalidateSettings.from_command_line(["--samples", "a", "--output", "o", *before, *more]) == new


@pytest.mark.parametrize(
    "name", ["mole/embedded/recipe.toml", *(f"benchmarks/recipes/{name}.toml" for name in RECIPES)]
)
def test_the_recipes_of_the_repository_are_read(root: Path, name: str) -> None:
    read = CrossvalidateSettings.from_command_line(["--samples", "a", "--output", "o", "--config", str(root / name)])
    assert read.crop_edges["songguoxs"] == 0.07 and [read.varied(method) for method in read.methods]


def test_a_method_varies_a_setting_by_its_flags_name_or_by_its_fields() -> None:
    methods = {"new": {"augmentations": 2, "head-lr": 0.5}, "old": {"deliveries": 2, "head_rate": 0.5}}
    read = FinetuneSettings.from_command_line([*NEEDED, "--methods", json.dumps(methods)])
    new, old = read.varied("new"), read.varied("old")
    assert new.augmentations == 2 and new.head_lr == 0.5 and new.model_copy(update={"method": "old"}) == old


def test_what_says_where_is_a_setting_and_decides_nothing() -> None:
    assert {*FinetuneSettings.model_fields, *CrossvalidateSettings.model_fields} > RUNTIME_SETTINGS
    assert not {"seed", "epochs", "batch_size", "base", "init_from", "align"} & RUNTIME_SETTINGS
