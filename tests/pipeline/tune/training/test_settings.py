"""Laws of the settings of a training."""

import pytest

from mole.errors import SettingsError
from pipeline.tune.training.recipe import RUNTIME_SETTINGS
from pipeline.tune.training.settings import CrossvalidateSettings, FinetuneSettings

NEEDED = ["--samples", "a", "--samples", "b", "--registry", "r"]


def test_lists_and_names_are_read_from_flags() -> None:
    read = FinetuneSettings.from_command_line([*NEEDED, "--hold-out", "x, y", "--expert-ranks", "2,4", "--align"])
    assert (read.samples, read.hold_out, read.expert_ranks, read.align) == (["a", "b"], ("x", "y"), (2, 4), True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--test-share", "1"], "--test-share must be below 1, got '1'"),
        (["--expert-ranks", "0"], "--expert-ranks must be above 0, got '0'"),
        (["--precision", "int8"], "--precision must be bfloat16 or float32, got 'int8'"),
        (["--head-lr", "-1"], "--head-lr must be at least 0, got '-1'"),
        (["--base-tower", "PE-Core-B-16"], "--base-tower and --pretrained must be given together"),
        (["--pretrained", "meta"], "--base-tower and --pretrained must be given together"),
        (["--base-tower", "x", "--pretrained", "y", "--base", "z"], "--base-tower replaces the base"),
    ],
)
def test_a_refusal_names_the_flag_the_bound_and_the_value(flags: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        FinetuneSettings.from_command_line([*NEEDED, *flags])


def test_what_says_where_is_a_setting_and_decides_nothing() -> None:
    assert {*FinetuneSettings.model_fields, *CrossvalidateSettings.model_fields} > RUNTIME_SETTINGS
    assert not {"seed", "epochs", "batch_size", "base", "init_from", "align"} & RUNTIME_SETTINGS
